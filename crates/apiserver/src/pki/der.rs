//! The little of DER (X.690) that a leaf certificate needs. Writes only; lengths up to 64 KiB, far above any certificate.

use jiff::Timestamp;

/// An element: tag, length, content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0x80 => bytes.push(short),
        (Ok(one), _) => bytes.extend([0x81, one]),
        (_, Ok(two)) => {
            bytes.push(0x82);
            bytes.extend(two.to_be_bytes());
        }
        // Requests are bounded by the size of a body; names and extensions of one stay below this.
        _ => {
            bytes.push(0x84);
            bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// A SEQUENCE of encoded elements.
pub(super) fn sequence<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// An INTEGER that is not negative, from bytes in network order.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut content = vec![0];
    content.extend(bytes.iter().skip_while(|b| **b == 0));
    if content.get(1).is_some_and(|b| *b < 0x80) {
        content.remove(0);
    }
    element(0x02, &content)
}

/// An OBJECT IDENTIFIER, already in its encoded form.
pub(super) fn oid(encoded: &[u8]) -> Vec<u8> {
    element(0x06, encoded)
}

/// `UTCTime` until 2049, `GeneralizedTime` after (RFC 5280, 4.1.2.5).
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    let year: i32 = at.strftime("%Y").to_string().parse().unwrap_or(0);
    if (1950..2050).contains(&year) {
        element(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        element(0x18, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers() {
        assert_eq!(element(4, &[1, 2]), [4, 2, 1, 2]);
        assert_eq!(element(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(unsigned(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }

    #[test]
    fn times() {
        let at = |text: &str| time(text.parse().unwrap());
        assert_eq!(at("2026-01-02T03:04:05Z"), [&[0x17, 13][..], b"260102030405Z"].concat());
        assert_eq!(at("2050-01-02T03:04:05Z"), [&[0x18, 15][..], b"20500102030405Z"].concat());
    }
}
