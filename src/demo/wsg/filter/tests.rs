use proptest::prelude::*;

use super::*;
use crate::demo::wsg::path::{Step, Way};

fn parse(text: &str) -> Result<Filter, QueryError> {
    Filter::parse(text, &|_| None)
}

fn step() -> impl Strategy<Value = Step> {
    let names = (
        "[A-Z][a-zA-Z_]{0,12}",
        any::<bool>(),
        "[A-Z][a-zA-Z0-9_.]{0,12}[a-z]",
        any::<bool>(),
    );
    names.prop_map(|(relationship, forward, class, poly)| Step {
        relationship,
        way: if forward { Way::Forward } else { Way::Backward },
        class,
        poly,
    })
}

fn path() -> impl Strategy<Value = Path> {
    let own = "\\$id|[A-Z][a-zA-Z0-9_]{0,20}";
    (prop::collection::vec(step(), 0..4), own).prop_map(|(steps, property)| Path { steps, property })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<String>().prop_map(Literal::Text),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Number),
        // A whole number is written with a point, so it stays what it is.
        (-1e15..1e15).prop_map(Literal::Real),
        (-60_000_000_000_i64..250_000_000_000).prop_map(|seconds| {
            Literal::Time(Timestamp::from_second(seconds).expect("within the years 0 to 9999"))
        }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        (path(), prop::sample::select(&Operator::ALL[..]), literal())
            .prop_map(|(path, operator, literal)| Filter::Compare(path, operator, literal)),
        (path(), prop::collection::vec(literal(), 0..4))
            .prop_map(|(path, literals)| Filter::In(path, literals)),
        (prop::sample::select(&Function::ALL[..]), path(), literal())
            .prop_map(|(function, path, literal)| Filter::Call(function, path, literal)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let some = prop::collection::vec(inner, 2..4);
        prop_oneof![some.clone().prop_map(Filter::And), some.prop_map(Filter::Or)]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(filter in filter()) {
        let text = filter.to_string();
        prop_assert_eq!(parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _either = parse(&text);
    }

    #[test]
    fn no_heap_of_its_own_words_makes_it_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "(", ")", "[", "]", ",", "'", "''", "and", "or", "in", "eq", "like", "Name", "$id", "@A", "5",
                "-", "A-forward-B.C", "-forward-", ".", "/", "endswith", "null", "2025-01-01", "é",
            ]),
            0..30,
        ),
        spaced in any::<bool>(),
    ) {
        let text = words.join(if spaced { " " } else { "" });
        let _either = Filter::parse(&text, &|_| Some(text.clone()));
    }
}

#[test]
fn and_binds_closer_than_or() {
    let filter = parse("A eq 1 or B eq 2 and C eq 3").unwrap();
    assert_eq!(filter, parse("A eq 1 or (B eq 2 and C eq 3)").unwrap());
    assert_ne!(filter, parse("(A eq 1 or B eq 2) and C eq 3").unwrap());
}

#[test]
fn an_alias_stands_for_its_text() {
    let alias = |name: &str| (name == "@A").then(|| "'O''Brien'".to_owned());
    let filter = Filter::parse("Name eq @A", &alias).unwrap();
    assert_eq!(filter, parse("Name eq 'O''Brien'").unwrap());
    assert!(Filter::parse("Name eq @B", &alias).is_err());
    assert!(Filter::parse("Name eq @A", &|_| Some("@A".to_owned())).is_err());
}

#[test]
fn values_without_quotes_are_what_they_look_like() {
    assert_eq!(bare("-12"), Some(Literal::Number(-12)));
    assert_eq!(bare("1.5"), Some(Literal::Real(1.5)));
    let noon: Timestamp = "2025-08-01T12:00:00Z".parse().unwrap();
    for text in [
        "2025-08-01T12:00:00Z",
        "2025-08-01T12:00:00",
        "2025-08-01T14:00:00+02:00",
    ] {
        assert_eq!(bare(text), Some(Literal::Time(noon)), "{text}");
    }
    assert_eq!(bare("2025-08-01"), bare("2025-08-01T00:00:00Z"));
    for wrong in ["inf", "NaN", "abc", "", "-", "1e999"] {
        assert_eq!(bare(wrong), None, "{wrong}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let text = format!("{}A eq 1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(parse(&text).is_err());
    assert!(parse(&format!("{}A eq 1{}", "(".repeat(DEPTH), ")".repeat(DEPTH))).is_ok());
    let long = vec!["A eq 1"; 50_000].join(" and ");
    assert!(matches!(parse(&long), Ok(Filter::And(all)) if all.len() == 50_000));
}
