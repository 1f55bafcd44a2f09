//! Topic patterns: what they match, which of them is the best, and which texts are refused. The tests of `sockeye`'s router
//! are those of path templates.

use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Trie<()> {
    let mut trie = Trie::new();
    for text in texts {
        trie.insert(Template::parse_topic(text).unwrap(), ())
            .unwrap();
    }
    trie
}

/// `pattern name=value name=value`, or `none`.
fn found(trie: &Trie<()>, topic: &str) -> String {
    let segments = segments(topic);
    let Some(entry) = trie
        .find(segments.clone())
        .and_then(|index| trie.get(index))
    else {
        return "none".to_owned();
    };
    let template = entry.template();
    template
        .values(segments)
        .fold(template.as_str().to_owned(), |found, (name, value)| {
            format!("{found} {name}={value}")
        })
}

#[test]
fn a_literal_beats_a_variable_and_a_variable_beats_the_catch_all() {
    let trie = patterns(&[
        "**",
        "room/{id}",
        "room/lobby",
        "room/**",
        "room/{id}/log",
        "{a}/{b}",
    ]);
    for (topic, expected) in [
        ("room/lobby", "room/lobby"),
        ("room/42", "room/{id} id=42"),
        ("room/42/log", "room/{id}/log id=42"),
        ("room/42/new", "room/**"),
        ("room/42/log/1", "room/**"),
        ("room", "**"),
        ("x/y", "{a}/{b} a=x b=y"),
        ("x/y/z", "**"),
    ] {
        assert_eq!(found(&trie, topic), expected, "{topic}");
    }
}

#[test]
fn the_catch_all_matches_one_or_more_segments() {
    let trie = patterns(&["user/{who}/**"]);
    assert_eq!(found(&trie, "user/ann/a"), "user/{who}/** who=ann");
    assert_eq!(found(&trie, "user/ann/a/b/c"), "user/{who}/** who=ann");
    assert_eq!(found(&trie, "user/ann"), "none");
}

#[test]
fn a_dead_end_falls_back_to_the_nearest_catch_all() {
    let trie = patterns(&["a/**", "a/b/c", "a/{x}/d/e"]);
    assert_eq!(found(&trie, "a/b/d"), "a/**");
    assert_eq!(found(&trie, "a/b/d/e"), "a/{x}/d/e x=b");
    assert_eq!(found(&trie, "a/b/c"), "a/b/c");
    assert_eq!(found(&trie, "b"), "none");
}

#[test]
fn patterns_are_compared_with_names_as_they_are() {
    let trie = patterns(&["50%/{x}", "q?/#"]);
    assert_eq!(found(&trie, "50%/%41"), "50%/{x} x=%41");
    assert_eq!(found(&trie, "q?/#"), "q?/#");
}

#[test]
fn equivalent_patterns_are_refused_naming_both() {
    for (existing, new) in [("a/{x}", "a/{y}"), ("a/**", "a/**"), ("{x}/**", "{y}/**")] {
        let mut trie = patterns(&[existing]);
        let refusal = trie
            .insert(Template::parse_topic(new).unwrap(), ())
            .unwrap_err();
        assert_eq!(
            refusal.to_string(),
            format!(
                "the topic patterns `{existing}` and `{new}` match the same topics; change or remove one"
            )
        );
        assert_eq!(trie.iter().len(), 1);
    }
}

#[test]
fn a_bad_pattern_is_refused_with_its_place_and_the_remedy() {
    for (pattern, position, remedy) in [
        ("", 0, "write `**` for all topics"),
        ("/", 0, "write one `/` between two segments"),
        ("/room/{id}", 0, "write `room/{id}`"),
        ("$room", 0, "begin with `$`"),
        ("a//b", 2, "write one `/` between two segments"),
        ("a/", 2, "write one `/` between two segments"),
        ("a/../b", 2, "a topic's name has no segment `..`"),
        ("a/{b}c", 2, "as in `{room}`, or write"),
        ("{}", 1, "write an identifier between the braces"),
        ("{x}/{x}", 4, "give each variable a name of its own"),
        ("a/**/b", 2, "write it as the last segment"),
        ("a/*", 2, "`*` is not a wildcard"),
        ("ab*", 2, "`*` is not a wildcard"),
        ("a/***", 2, "`*` is not a wildcard"),
        ("a/{*rest}", 2, "write `**` as the last segment"),
        ("a/{*}", 4, "write an identifier between the braces"),
        ("a/b\u{7}", 3, "no control characters"),
    ] {
        let refusal = Template::parse_topic(pattern).unwrap_err().to_string();
        let place = format!("topic pattern `{pattern}`, at byte {position}: ");
        assert!(refusal.starts_with(&place), "{refusal}");
        assert!(refusal.contains(remedy), "{refusal}");
    }
}

#[test]
fn a_catch_all_has_a_name_in_a_path_template_and_none_in_a_topic_pattern() {
    let path = Template::parse("/a/{b}/{*rest}").unwrap();
    assert_eq!(path.segments()[2], Segment::CatchAll(Some("rest".into())));
    assert_eq!(path.catch_all(), Some((&"rest".into(), 2)));
    let variables: Vec<&str> = path.variables().map(|name| &**name).collect();
    assert_eq!(variables, ["b", "rest"]);

    let topic = Template::parse_topic("a/{b}/**").unwrap();
    assert_eq!(topic.segments()[2], Segment::CatchAll(None));
    assert_eq!(topic.catch_all(), None);
    let variables: Vec<&str> = topic.variables().map(|name| &**name).collect();
    assert_eq!(variables, ["b"]);
}

#[test]
fn a_catch_all_stands_for_no_segment_before_the_one_that_is_given() {
    let trie = patterns(&["**", "a/**", "a/{x}/c"]);
    let find = |topic, from| {
        let found = trie.find_from(segments(topic), from);
        found.map(|index| trie.get(index).unwrap().template().as_str())
    };
    for (from, expected) in [(0, Some("a/**")), (1, Some("a/**")), (2, None), (9, None)] {
        assert_eq!(find("a/b/d", from), expected, "from {from}");
        assert_eq!(find("a/b/c", from), Some("a/{x}/c"), "from {from}");
    }
    assert_eq!(find("b/c", 0), Some("**"));
    assert_eq!(find("b/c", 1), None);
}

/// A segment of a pattern, without its variable's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Literal(&'static str),
    Variable,
    CatchAll,
}

fn any_shape() -> impl Strategy<Value = Vec<Shape>> {
    let segment = prop_oneof![
        Just(Shape::Variable),
        Just(Shape::Literal("a")),
        Just(Shape::Literal("b")),
    ];
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(mut shape, catch_all)| {
        if catch_all || shape.is_empty() {
            shape.push(Shape::CatchAll);
        }
        shape
    })
}

fn text(shape: &[Shape]) -> String {
    let segments = shape
        .iter()
        .enumerate()
        .map(|(index, segment)| match segment {
            Shape::Literal(text) => (*text).to_owned(),
            Shape::Variable => format!("{{v{index}}}"),
            Shape::CatchAll => "**".to_owned(),
        });
    segments.collect::<Vec<_>>().join("/")
}

fn covers(shape: &[Shape], topic: &[&str]) -> bool {
    match (shape, topic) {
        ([], []) => true,
        ([Shape::CatchAll], [_, ..]) => true,
        ([Shape::Literal(text), shape @ ..], [part, topic @ ..]) => {
            text == part && covers(shape, topic)
        }
        ([Shape::Variable, shape @ ..], [_, topic @ ..]) => covers(shape, topic),
        _ => false,
    }
}

/// Literals first, then variables, then the catch-all, from left to right.
fn rank(shape: &[Shape]) -> Vec<u8> {
    let ranks = shape.iter().map(|segment| match segment {
        Shape::Literal(_) => 0,
        Shape::Variable => 1,
        Shape::CatchAll => 2,
    });
    ranks.collect()
}

proptest! {
    #[test]
    fn segments_are_the_texts_between_slashes(path in "[aé/]{0,9}") {
        prop_assert!(segments(&path).eq(path.split('/')));
    }

    /// The oracle is a search through all patterns.
    #[test]
    fn the_best_of_all_patterns_is_found(
        shapes in prop::collection::vec(any_shape(), 0..12),
        topic in prop::collection::vec(prop_oneof!["a", "b", "c"], 1..6),
    ) {
        let mut trie = Trie::new();
        for shape in &shapes {
            // Equivalent shapes occur: the first stays.
            let _ = trie.insert(Template::parse_topic(&text(shape)).unwrap(), rank(shape));
        }
        let parts: Vec<&str> = topic.iter().map(String::as_str).collect();
        let best = shapes.iter().filter(|shape| covers(shape, &parts)).map(|shape| rank(shape)).min();
        let entry = trie.find(parts.iter().copied()).and_then(|index| trie.get(index));
        prop_assert_eq!(entry.map(|entry| entry.value().clone()), best);
    }

    #[test]
    fn no_text_panics(text in prop_oneof![".*", "(/?(\\{\\*?[a-b]?\\}|[a.%{}?*$]|.){0,3})*"]) {
        for template in [Template::parse(&text), Template::parse_topic(&text)] {
            match template {
                Ok(template) => prop_assert!(!template.segments().is_empty()),
                Err(error) => prop_assert!(error.to_string().contains(&text)),
            }
        }
    }
}
