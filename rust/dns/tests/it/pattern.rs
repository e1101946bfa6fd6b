//! Patterns (dataplane §3.5.1).

use dns::{Name, Pattern, PatternError};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn each_wildcard_covers_what_the_grammar_says() {
    let rows: [(&str, &[&str], &[&str]); 14] = [
        ("example.com", &["example.com", "EXAMPLE.com."], &["a.example.com", "example.org"]),
        ("*.example.com", &["example.com", "a.example.com"], &["a.b.example.com", "aexample.com"]),
        (
            "**.example.com",
            &["example.com", "a.example.com", "a.b.c.example.com"],
            &["xexample.com"],
        ),
        ("?.example.com", &["a.example.com"], &["ab.example.com", "example.com"]),
        ("*ample.com", &["example.com", "ample.com"], &["a.ample.com", "examples.com"]),
        ("a*z.example", &["az.example", "abcz.example"], &["a.z.example", "azb.example"]),
        ("a.*.c", &["a.b.c", "a.bb.c"], &["a.c", "a.b.b.c"]),
        ("a.**.c", &["a.c", "a.b.c", "a.b.b.c"], &["a", "c", "b.a.c.d"]),
        ("**", &["com", "a.b.c"], &[]),
        ("*", &["com"], &["a.com"]),
        ("**.a.**.b", &["a.b", "x.a.y.z.b", "a.a.b"], &["b", "x.b"]),
        ("web[0-9].example", &["web0.example", "WEB9.example"], &["weba.example", "web10.example"]),
        ("web[!0-9].example", &["weba.example"], &["web1.example"]),
        ("*.Example.COM", &["example.com", "A.EXAMPLE.COM"], &[]),
    ];
    for (text, covered, others) in rows {
        for covered in covered {
            assert!(pattern(text).matches(&name(covered)), "{text} covers {covered}");
        }
        for other in others {
            assert!(!pattern(text).matches(&name(other)), "{text} does not cover {other}");
        }
    }
}

#[test]
fn the_apex_is_covered_by_a_leading_star_alone() {
    assert!(!pattern("*.*.example").matches(&name("example")));
    assert!(
        !pattern("*.*.example").matches(&name("a.example")),
        "the suffix is taken by the letter"
    );
    assert!(pattern("*.*.example").matches(&name("a.b.example")));
    assert!(!pattern("a.*.example").matches(&name("a.example")));
}

#[test]
fn an_invalid_pattern_is_an_error() {
    let rows = [
        ("", PatternError::Empty),
        (".", PatternError::Empty),
        ("a**b", PatternError::DoubleStar),
        ("***.com", PatternError::DoubleStar),
        ("a..b", PatternError::Label),
        (".a", PatternError::Label),
        ("web[0-9", PatternError::Class),
        ("web[]", PatternError::Class),
        ("bücher.example", PatternError::Character),
        ("a b", PatternError::Character),
        ("a\"", PatternError::Character),
    ];
    for (text, error) in rows {
        assert_eq!(Pattern::parse(text).err(), Some(error), "{text}");
    }
    assert_eq!(Pattern::parse(&"a.".repeat(200)).err(), Some(PatternError::TooLong));
}

/// The reference ordering of dataplane §3.5.1, most specific first.
const ORDER: [&str; 9] = [
    "example.com",
    "bar.example.com",
    "*.bar.example.com",
    "foo.example.com",
    "?.example.com",
    "*.example.com",
    "**.example.com",
    "*ample.com",
    "*.com",
];

#[test]
fn the_order_is_the_reference_ordering() {
    let mut sorted: Vec<Pattern> = ORDER.iter().rev().map(|text| pattern(text)).collect();
    sorted.sort();
    let sorted: Vec<&str> = sorted.iter().map(Pattern::as_str).collect();
    assert_eq!(sorted, ORDER);
}

#[test]
fn a_hostile_pattern_costs_no_more_than_its_length_times_the_names() {
    let hostile = pattern(&"*a".repeat(126));
    assert!(!hostile.matches(&name(&"a".repeat(63))));
    let deep = pattern(&"**.a.".repeat(50));
    assert!(!deep.matches(&name(&format!("{}.b", ["a"; 100].join(".")))));
}

/// A second opinion: `**`, `*` and `?` by recursion over all choices.
fn covers(pattern: &[&str], labels: &[&str]) -> bool {
    match pattern {
        [] => labels.is_empty(),
        ["**", rest @ ..] => (0..=labels.len()).any(|taken| covers(rest, &labels[taken..])),
        [first, rest @ ..] => labels.split_first().is_some_and(|(label, others)| {
            covers_label(first.as_bytes(), label.as_bytes()) && covers(rest, others)
        }),
    }
}

fn covers_label(pattern: &[u8], label: &[u8]) -> bool {
    match pattern {
        [] => label.is_empty(),
        [b'*', rest @ ..] => (0..=label.len()).any(|taken| covers_label(rest, &label[taken..])),
        [b'?', rest @ ..] => !label.is_empty() && covers_label(rest, &label[1..]),
        [byte, rest @ ..] => label.first() == Some(byte) && covers_label(rest, &label[1..]),
    }
}

pub(crate) fn pattern_text() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        2 => Just("*".to_owned()),
        2 => Just("**".to_owned()),
        4 => "[ab]{1,2}",
        2 => "[ab?]{0,1}[*]?[ab?]{1,2}",
    ];
    prop::collection::vec(label, 1..5).prop_map(|labels| labels.join("."))
}

pub(crate) fn name_text() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,3}", 1..6).prop_map(|labels| labels.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        rng_seed: RngSeed::Fixed(0xd001),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_pattern_covers_what_a_plain_recursion_says(text in pattern_text(), host in name_text()) {
        let labels: Vec<&str> = host.split('.').collect();
        let own: Vec<&str> = text.split('.').collect();
        let apex = text.strip_prefix("*.") == Some(host.as_str());
        prop_assert_eq!(pattern(&text).matches(&name(&host)), covers(&own, &labels) || apex);
    }

    #[test]
    fn the_order_is_total_and_no_stranger_to_equality(
        a in pattern_text(),
        b in pattern_text(),
        c in pattern_text(),
    ) {
        let [pa, pb, pc] = [&a, &b, &c].map(|text| pattern(text));
        prop_assert_eq!(pa.cmp(&pb), pb.cmp(&pa).reverse());
        prop_assert_eq!(pa.cmp(&pb).is_eq(), a == b);
        if pa <= pb && pb <= pc {
            prop_assert!(pa <= pc);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}|[a*?.\\[\\]!-]{0,12}", host in name_text()) {
        if let Ok(parsed) = Pattern::parse(&text) {
            parsed.matches(&name(&host));
        }
    }
}
