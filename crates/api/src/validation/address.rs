//! IP addresses and CIDRs, as strictly as Kubernetes 1.37 takes them.
//!
//! Old fields take addresses that are not in canonical form, new ones do not. Leading zeros and IPv4 addresses dressed as
//! IPv6 are refused everywhere, because programs read them differently.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Path;
use crate::status::FieldError;

/// Which spelling of an address is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As RFC 5952 writes it.
    Canonical,
    /// Any spelling.
    Any,
}

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NO_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// A network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    address: IpAddr,
    prefix: u32,
}

impl Cidr {
    fn bits(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        }
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let (bits, width) = Self::bits(address);
        bits.checked_shr(width - self.prefix).unwrap_or(0)
    }

    /// The same network with nothing set beyond the prefix.
    fn network(&self) -> IpAddr {
        let (_, width) = Self::bits(self.address);
        let bits = self.masked(self.address).checked_shl(width - self.prefix).unwrap_or(0);
        match self.address {
            IpAddr::V4(_) => {
                IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).expect("32 bits were shifted to and fro")))
            }
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(bits)),
        }
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether `inner` lies inside and is smaller.
    pub(super) fn strictly_contains(&self, inner: &Self) -> bool {
        self.is_ipv4() == inner.is_ipv4()
            && self.prefix < inner.prefix
            && self.masked(self.address) == self.masked(inner.address)
    }
}

/// IPv4 with leading zeros allowed: what the oldest clients wrote.
fn sloppy_v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let [a, b, c, d] = parts.as_slice() else { return None };
    let octet = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| part.trim_start_matches('0'))
            .and_then(|n| if n.is_empty() { Some(0) } else { n.parse().ok() })
    };
    Some(Ipv4Addr::new(octet(a)?, octet(b)?, octet(c)?, octet(d)?))
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// An address, or the sentence that says what is wrong with it.
pub(super) fn parse(text: &str, form: Form) -> Result<IpAddr, String> {
    let Ok(address) = text.parse::<IpAddr>() else {
        let zeros = sloppy_v4(text).is_some();
        return Err(if zeros { "must not have leading 0s" } else { NO_ADDRESS }.to_owned());
    };
    if is_mapped(address) {
        return Err("must not be an IPv4-mapped IPv6 address".to_owned());
    }
    if form == Form::Canonical && address.to_string() != text {
        return Err(format!("must be in canonical form ({:?})", address.to_string()));
    }
    Ok(address)
}

/// A network, or the sentence that says what is wrong with it.
pub(super) fn parse_cidr(text: &str, form: Form) -> Result<Cidr, String> {
    let none = || NO_CIDR.to_owned();
    let (address, prefix) = text.split_once('/').ok_or_else(none)?;
    let sloppy = sloppy_v4(address).map(IpAddr::V4);
    let strict = address.parse::<IpAddr>().ok();
    let found = strict.or(sloppy).ok_or_else(none)?;
    let digits = !prefix.is_empty() && prefix.len() <= 8 && prefix.bytes().all(|b| b.is_ascii_digit());
    let length: u32 =
        if digits { prefix.parse().map_err(|_not_a_number| none())? } else { return Err(none()) };
    if length > Cidr::bits(found).1 {
        return Err(none());
    }
    if strict.is_none() || (prefix.len() > 1 && prefix.starts_with('0')) {
        return Err("must not have leading 0s in IP or prefix length".to_owned());
    }
    if is_mapped(found) {
        return Err("must not have an IPv4-mapped IPv6 address".to_owned());
    }
    let cidr = Cidr { address: found, prefix: length };
    if cidr.network() != found {
        return Err("must not have bits set beyond the prefix length".to_owned());
    }
    let canonical = format!("{found}/{length}");
    if form == Form::Canonical && canonical != text {
        return Err(format!("must be in canonical form ({canonical:?})"));
    }
    Ok(cidr)
}

/// Where traffic of a service may go.
pub(super) fn endpoint(text: &str, address: IpAddr, path: &Path, errors: &mut Vec<FieldError>) {
    let mut refuse = |detail: String| errors.push(path.invalid(text, detail));
    if address.is_unspecified() {
        refuse(format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        refuse("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
    }
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        refuse("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
    }
    if link_local_multicast {
        refuse("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let table = [
            ("10.9.8.7", Ok(())),
            ("2001:db8::ffff", Ok(())),
            ("10.9.8", Err(NO_ADDRESS)),
            ("10.9.8.256", Err(NO_ADDRESS)),
            ("", Err(NO_ADDRESS)),
            ("fe80::1%eth0", Err(NO_ADDRESS)),
            ("010.9.8.7", Err("must not have leading 0s")),
            ("::ffff:10.9.8.7", Err("must not be an IPv4-mapped IPv6 address")),
            ("2001:DB8::1", Err("must be in canonical form (\"2001:db8::1\")")),
        ];
        for (text, expected) in table {
            let found = parse(text, Form::Canonical).map(drop);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
        assert!(parse("2001:DB8::1", Form::Any).is_ok());
    }

    #[test]
    fn networks() {
        let table = [
            ("10.0.0.0/8", Ok(())),
            ("0.0.0.0/0", Ok(())),
            ("::/0", Ok(())),
            ("10.1.2.3/32", Ok(())),
            ("2001:db8::/64", Ok(())),
            ("10.0.0.0", Err(NO_CIDR)),
            ("10.0.0.0/33", Err(NO_CIDR)),
            ("10.0.0.0/+8", Err(NO_CIDR)),
            ("10.0.0.0/08", Err("must not have leading 0s in IP or prefix length")),
            ("010.0.0.0/8", Err("must not have leading 0s in IP or prefix length")),
            ("10.0.0.1/8", Err("must not have bits set beyond the prefix length")),
            ("::ffff:10.0.0.0/104", Err("must not have an IPv4-mapped IPv6 address")),
            ("2001:DB8::/64", Err("must be in canonical form (\"2001:db8::/64\")")),
        ];
        for (text, expected) in table {
            let found = parse_cidr(text, Form::Canonical).map(drop);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn smaller_networks_lie_inside_larger_ones() {
        let inside = |outer: &str, inner: &str| {
            let parse = |text| parse_cidr(text, Form::Any).expect("a network");
            parse(outer).strictly_contains(&parse(inner))
        };
        assert!(inside("10.0.0.0/8", "10.1.0.0/16") && inside("0.0.0.0/0", "10.0.0.0/8"));
        assert!(!inside("10.0.0.0/8", "10.0.0.0/8") && !inside("10.0.0.0/8", "11.0.0.0/16"));
        assert!(!inside("10.1.0.0/16", "10.0.0.0/8") && !inside("0.0.0.0/0", "2001:db8::/64"));
    }
}
