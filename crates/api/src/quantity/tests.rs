//! Quantities: canonical forms in a table, laws as properties.

use proptest::prelude::*;

use super::*;

#[test]
fn canonical_forms() {
    let table = [
        ("0", "0"),
        ("0Mi", "0"),
        ("1", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("64Ki", "64Ki"),
        ("0.5Ki", "512"),
        ("1023", "1023"),
        ("1Ki", "1Ki"),
        ("1.5", "1500m"),
        ("12e6", "12e6"),
        ("1E3", "1e3"),
        ("1e0", "1"),
        ("1E", "1E"),
        ("1000k", "1M"),
        ("100k", "100k"),
        ("+5", "5"),
        ("-5m", "-5m"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("99999999999999999999", "99999999999999999999"),
        ("99999999999999999999Ki", "9223372036854775807"),
        ("1e1000000000000", "1e27"),
        ("1e19", "10e18"),
        ("1e21", "1e21"),
        ("10000000000000000000", "10E"),
        ("1e-1000000000000", "1e-9"),
        ("128974848", "128974848"),
        ("129M", "129M"),
    ];
    for (text, canonical) in table {
        assert_eq!(
            Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string(),
            canonical,
            "{text}"
        );
    }
}

#[test]
fn not_quantities() {
    let suffixes = ["--1", "1mm", "1K", "1e", "1ki"].map(|text| (text, QuantityError::Suffix));
    let forms = ["", "1gi", "-", ".", "1.2.3", "1 Gi", "1e1.5", "0x10", "ten", "1Gi ", "½"];
    for (text, wrong) in suffixes.into_iter().chain(forms.map(|text| (text, QuantityError::Form))) {
        assert_eq!(Quantity::parse(text), Err(wrong), "{text}");
    }
    assert!(Quantity::parse(&"1".repeat(100)).is_err());
}

#[test]
fn values_round_up() {
    let table = [
        ("1", 1, 1000),
        ("100m", 1, 100),
        ("1.0001", 2, 1001),
        ("-1500m", -1, -1500),
        ("1Gi", 1 << 30, 1000 << 30),
    ];
    for (text, value, milli) in table {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
    }
    assert_eq!(Quantity::parse("8Ei").unwrap().milli_value(), i64::MAX);
}

#[test]
fn json_numbers_are_quantities() {
    for (value, text) in
        [(serde_json::json!(2), "2"), (serde_json::json!(0.25), "250m"), (serde_json::json!("1Gi"), "1Gi")]
    {
        assert_eq!(Quantity::from_json(&value).unwrap().to_string(), text);
    }
    assert!(Quantity::from_json(&serde_json::json!([])).is_err());
}

#[test]
fn sums_keep_the_suffix() {
    let q = |t: &str| Quantity::parse(t).unwrap();
    assert_eq!((q("1Gi") + q("1Gi")).to_string(), "2Gi");
    assert_eq!((Quantity::ZERO + q("64Mi")).to_string(), "64Mi");
    assert_eq!((q("1") - q("100m")).to_string(), "900m");
    assert!(q("1Gi") > q("1G") && q("1000m") == q("1"));
}

proptest! {
    #[test]
    fn printing_and_parsing_agree(
        whole in 0u64..1_000_000_000_000, fraction in "[0-9]{0,9}", negative: bool,
        suffix in prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "E-2", "e0"]),
    ) {
        let text = format!("{}{whole}.{fraction}{suffix}", if negative { "-" } else { "" });
        let parsed = Quantity::parse(&text).unwrap();
        let printed = parsed.to_string();
        let again = Quantity::parse(&printed).unwrap();
        prop_assert_eq!(again, parsed);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn adding_and_taking_away_is_exact(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
        let (x, y) = (Quantity::from_milli(a), Quantity::from_milli(b));
        prop_assert_eq!(x + y - y, x);
        prop_assert_eq!((x + y).milli_value(), a + b);
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[0-9.eEinumkKMGTP+-]{0,70}") {
        drop(Quantity::parse(&text));
    }
}
