//! The matching table of the Jakarta TCK, Tomcat's template cases, our own decisions, and
//! properties over any templates and paths.

use proptest::prelude::*;

use super::{parameter::ParameterError, *};

/// A router whose values are the templates themselves.
fn router<'t>(templates: &[&'t str]) -> Router<&'t str> {
    let mut router = Router::new();
    for template in templates {
        router.insert(template, *template).unwrap();
    }
    router
}

/// `template name=value name=value`, or `none`.
fn found(router: &Router<&str>, path: &str) -> String {
    let Some((template, parameters)) = router.find(path) else {
        return "none".to_owned();
    };
    parameters
        .iter()
        .fold((*template).to_owned(), |found, (name, value)| {
            format!("{found} {name}={value}")
        })
}

fn found_alone(template: &str, path: &str) -> String {
    found(&router(&[template]), path)
}

fn refusal(template: &str) -> String {
    Router::new().insert(template, ()).unwrap_err().to_string()
}

/// TCK urimatching.
#[test]
fn paths_match_as_in_the_tck() {
    let router = router(&[
        "/a",
        "/{a}",
        "/c/d",
        "/c/{d}",
        "/{c}/d",
        "/{c}/{d}",
        "/a/c/d",
        "/a/c/{d}",
        "/a/{c}/d",
        "/a/{c}/{d}",
        "/{a}/c/d",
        "/{a}/c/{d}",
        "/{a}/{c}/d",
        "/{a}/{c}/{d}",
    ]);
    for (path, expected) in [
        ("/a", "/a"),
        ("/c", "/{a} a=c"),
        ("/c/d", "/c/d"),
        ("/c/one", "/c/{d} d=one"),
        ("/one/d", "/{c}/d c=one"),
        ("/one/two", "/{c}/{d} c=one d=two"),
        ("/a/c/d", "/a/c/d"),
        ("/a/c/three", "/a/c/{d} d=three"),
        ("/a/two/d", "/a/{c}/d c=two"),
        ("/a/one/two", "/a/{c}/{d} c=one d=two"),
        ("/two/c/d", "/{a}/c/d a=two"),
        ("/one/c/two", "/{a}/c/{d} a=one d=two"),
        ("/one/two/d", "/{a}/{c}/d a=one c=two"),
        ("/one/two/three", "/{a}/{c}/{d} a=one c=two d=three"),
        ("/a/c/d/e", "none"),
    ] {
        assert_eq!(found(&router, path), expected, "{path}");
    }
}

/// Tomcat TestWsServerContainer.
#[test]
fn paths_match_as_in_the_examples_of_the_specification() {
    let first = router(&["/a/{var}/c", "/a/b/c", "/a/{var1}/{var2}"]);
    assert_eq!(found(&first, "/a/b/c"), "/a/b/c");
    assert_eq!(found(&first, "/a/d/c"), "/a/{var}/c var=d");
    assert_eq!(found(&first, "/a/x/y"), "/a/{var1}/{var2} var1=x var2=y");

    let second = router(&["/{var1}/d", "/b/{var2}"]);
    assert_eq!(found(&second, "/b/d"), "/b/{var2} var2=d");

    let third = router(&["/a"]);
    assert_eq!(found(&third, "/b"), "none");
    assert_eq!(found(&third, "invalidPath"), "none");

    let fourth = router(&["/a/{var1}/{var2}", "/a/b/{var2}"]);
    assert_eq!(found(&fourth, "/a/x/y"), "/a/{var1}/{var2} var1=x var2=y");
    assert_eq!(found(&fourth, "/a/b/y"), "/a/b/{var2} var2=y");
}

/// Tomcat TestUriTemplate; its invalid templates are among those that are refused below.
#[test]
fn single_templates_match_as_in_tomcat() {
    for (template, path, expected) in [
        ("/{a}/{b}", "/foo/bar", "/{a}/{b} a=foo b=bar"),
        ("/{a}/{b}", "/x/x", "/{a}/{b} a=x b=x"),
        ("/{a}/{b}", "/foo", "none"),
        ("/foo/bar", "/foo/bar", "/foo/bar"),
        ("/a/b/", "/a/b/", "/a/b/"),
        ("/a/b/", "/a/b", "none"),
        ("/a/b/", "/a", "none"),
        ("/a/b/", "/a/bb", "none"),
        ("/a/{var}", "/a/b", "/a/{var} var=b"),
        ("/a/{var}", "/a/apple", "/a/{var} var=apple"),
        ("/a/{var}", "/a", "none"),
        ("/a/{var}", "/a/b/", "none"),
        ("/a/{var}", "/a/b/c", "none"),
        // Tomcat gives the variable an empty value; the specification and we do not.
        ("/a/{var}", "/a/", "none"),
        ("/a/{var}/", "/a/b/", "/a/{var}/ var=b"),
    ] {
        assert_eq!(found_alone(template, path), expected, "{template} {path}");
    }
}

#[test]
fn a_path_parameter_may_hold_an_equals_sign() {
    assert_eq!(
        found_alone("/t/{one}/{two}", "/t/test1/test2=xyz"),
        "/t/{one}/{two} one=test1 two=test2=xyz"
    );
}

#[test]
fn a_template_may_have_many_variables() {
    let template: String = (1..=11).map(|n| format!("/{{param{n}}}")).collect();
    let path: String = (1..=11).map(|n| format!("/value{n}")).collect();
    let router = router(&[&template]);
    let (_, parameters) = router.find(&path).unwrap();
    assert_eq!(parameters.iter().len(), 11);
    assert_eq!(parameters.get("param11"), Some("value11"));
    assert_eq!(parameters.get("param12"), None);
}

#[test]
fn a_dead_end_behind_a_literal_falls_back_to_the_variable() {
    let router = router(&["/a/b/c", "/{x}/b/d", "/{x}/{y}/e"]);
    assert_eq!(found(&router, "/a/b/c"), "/a/b/c");
    assert_eq!(found(&router, "/a/b/d"), "/{x}/b/d x=a");
    assert_eq!(found(&router, "/a/b/e"), "/{x}/{y}/e x=a y=b");
    assert_eq!(found(&router, "/a/b/f"), "none");
}

#[test]
fn literals_that_sort_after_a_brace_beat_variables() {
    let router = router(&["/{x}", "/~x", "/é"]);
    assert_eq!(found(&router, "/~x"), "/~x");
    assert_eq!(found(&router, "/é"), "/é");
}

#[test]
fn the_root_is_a_template_of_its_own() {
    let router = router(&["/", "/{x}"]);
    assert_eq!(found(&router, "/"), "/");
    assert_eq!(found(&router, "/a"), "/{x} x=a");
    assert_eq!(found(&router, ""), "none");
    assert_eq!(found(&router, "//"), "none");
}

#[test]
fn segments_are_compared_decoded() {
    assert_eq!(found_alone("/admin", "/%61dmin"), "/admin");
    assert_eq!(found_alone("/café", "/caf%C3%A9"), "/café");
    assert_eq!(
        found_alone("/chat/{room}", "/chat/rust%20fans"),
        "/chat/{room} room=rust fans"
    );
    // A `%` that begins no escape is a literal, and nothing is decoded twice.
    assert_eq!(found_alone("/{x}", "/100%"), "/{x} x=100%");
    assert_eq!(found_alone("/{x}", "/%2561"), "/{x} x=%61");
}

#[test]
fn an_encoded_slash_does_not_split_a_segment() {
    assert_eq!(found_alone("/{x}", "/a%2Fb"), "/{x} x=a/b");
    assert_eq!(found_alone("/a/b", "/a%2fb"), "none");
}

#[test]
fn a_segment_that_is_not_utf8_matches_nothing() {
    assert_eq!(found_alone("/{x}", "/%FF"), "none");
    assert_eq!(found_alone("/{x}/b", "/a%C3/b"), "none");
}

#[test]
fn dot_segments_and_empty_segments_match_nothing() {
    let router = router(&["/{x}/{y}", "/a/{y}", "/{x}", "/a"]);
    for path in [
        "/a/..",
        "/a/.",
        "/../a",
        "/a/%2e%2E",
        "/.%2e/a",
        "//a",
        "/a//",
        "/./a",
        "/..",
    ] {
        assert_eq!(found(&router, path), "none", "{path}");
    }
    assert_eq!(found(&router, "/a/..."), "/a/{y} y=...");
}

#[test]
fn equivalent_templates_are_refused_naming_both() {
    for (existing, new) in [
        ("/a/b/c", "/a/b/c"),
        ("/a/b/{var}", "/a/b/{var}"),
        ("/a/b/{var1}", "/a/b/{var2}"),
    ] {
        let mut router = router(&[existing]);
        let refusal = router.insert(new, new).unwrap_err();
        assert!(matches!(&refusal, RouteError::Equivalent(_)));
        assert!(refusal.to_string().contains(existing));
        assert!(refusal.to_string().contains(new));
    }
}

#[test]
fn a_refused_template_changes_nothing() {
    let mut router = router(&["/a/{x}"]);
    router.insert("/a/{y}", "second").unwrap_err();
    router.insert("/b/{y}/{y}", "third").unwrap_err();
    assert_eq!(found(&router, "/a/b"), "/a/{x} x=b");
    assert_eq!(found(&router, "/b/a/a"), "none");
}

#[test]
fn a_bad_template_is_refused_with_its_place_and_the_remedy() {
    for (template, position, remedy) in [
        ("", 0, "write `/` for the root"),
        ("a/b", 0, "write `/a/b`"),
        ("//b", 1, "write one `/` between two segments"),
        ("/a//", 3, "write one `/` between two segments"),
        ("/a/../b", 3, "write the template without it"),
        ("/./b", 1, "write the template without it"),
        ("/x{a}/y{b}", 1, "make the variable a whole segment"),
        ("/a/{b}c", 3, "make the variable a whole segment"),
        ("/.{a}", 1, "make the variable a whole segment"),
        ("/a/{b}{c}", 3, "make the variable a whole segment"),
        ("/a}", 1, "make the variable a whole segment"),
        ("/{a", 1, "make the variable a whole segment"),
        ("/{}", 2, "write an identifier between the braces"),
        ("/{1st}", 2, "write an identifier between the braces"),
        ("/{*}", 3, "write an identifier between the braces"),
        ("/{**}", 3, "write an identifier between the braces"),
        ("/{*rest}/a", 1, "write it as the last segment"),
        ("/{*rest}/", 1, "write it as the last segment"),
        ("/a{*rest}", 1, "make the variable a whole segment"),
        ("/{a}/{*a}", 5, "give each variable a name of its own"),
        ("/a/**", 3, "write `{*rest}` as the last segment"),
        ("/{_}", 2, "write an identifier between the braces"),
        ("/{var}/{var}", 7, "give each variable a name of its own"),
        ("/caf%C3%A9", 4, "write the character itself"),
        ("/a?b=c", 2, "the handshake has the query"),
        ("/a#b", 2, "the handshake has the query"),
    ] {
        let refusal = refusal(template);
        let place = format!("path template `{template}`, at byte {position}: ");
        assert!(refusal.starts_with(&place), "{refusal}");
        assert!(refusal.contains(remedy), "{refusal}");
    }
}

#[test]
fn a_parameter_parses_or_names_itself_its_value_and_its_type() {
    let router = router(&["/{n}"]);
    let (_, parameters) = router.find("/1234567890").unwrap();
    assert_eq!(parameters.text("n").unwrap(), "1234567890");
    assert_eq!(parameters.parse::<u64>("n").unwrap(), 1_234_567_890);

    let malformed = parameters.parse::<u8>("n").unwrap_err();
    assert_eq!(
        malformed.to_string(),
        "the path parameter `n` has the value \"1234567890\", which is not valid"
    );
    let missing = parameters.parse::<u8>("m").unwrap_err();
    assert!(matches!(&missing, ParameterError::Missing { name } if name == "m"));
    assert!(missing.to_string().contains("no parameter `m`"));
}

#[test]
fn a_path_without_variables_keeps_nothing() {
    let router = router(&["/a"]);
    let (_, parameters) = router.find("/a").unwrap();
    assert_eq!(parameters, PathParameters::default());
    assert!(size_of::<PathParameters>() <= 2 * size_of::<usize>());
}

#[test]
fn a_catch_all_matches_the_rest_of_any_path_but_never_nothing() {
    let router = router(&["/{*rest}"]);
    for (path, expected) in [
        ("/a", "/{*rest} rest=a"),
        ("/a/b/c", "/{*rest} rest=a/b/c"),
        ("/a/b/", "/{*rest} rest=a/b/"),
        ("/caf%C3%A9/a%20b", "/{*rest} rest=café/a b"),
        ("/", "none"),
        ("", "none"),
        ("a/b", "none"),
    ] {
        assert_eq!(found(&router, path), expected, "{path}");
    }
    let below = found_alone("/files/{user}/{*file}", "/files/ann/2026/a.txt");
    assert_eq!(below, "/files/{user}/{*file} user=ann file=2026/a.txt");
    assert_eq!(found_alone("/files/{*file}", "/files/"), "none");
    assert_eq!(found_alone("/files/{*file}", "/files"), "none");
}

#[test]
fn a_catch_all_is_the_least_specific_of_all() {
    let router = router(&["/{*all}", "/a/{*rest}", "/a/{x}", "/a/b", "/{x}/b/c", "/"]);
    for (path, expected) in [
        ("/a/b", "/a/b"),
        ("/a/c", "/a/{x} x=c"),
        ("/a/b/c", "/a/{*rest} rest=b/c"),
        ("/z/b/c", "/{x}/b/c x=z"),
        ("/z/b", "/{*all} all=z/b"),
        ("/a", "/{*all} all=a"),
        ("/a/b/c/d/e/f/g", "/a/{*rest} rest=b/c/d/e/f/g"),
        ("/", "/"),
    ] {
        assert_eq!(found(&router, path), expected, "{path}");
    }
}

/// The value of a catch-all never leads out of a directory, and a slash in it is one of the path.
#[test]
fn a_catch_all_matches_no_dots_no_empty_segments_and_no_encoded_slash() {
    let alone = router(&["/{*rest}"]);
    for path in [
        "/a/../b",
        "/a/%2e%2E/b",
        "/..%2f..%2fetc",
        "/a/b%2Fc",
        "/a//b",
        "//a",
        "/a/.",
        "/a//",
        "/a/%FF",
        "/%FF/a",
        "/a/b/c/d/..",
    ] {
        assert_eq!(found(&alone, path), "none", "{path}");
    }
    // What a catch-all may not stand for, a variable may.
    let both = router(&["/a/{*rest}", "/{x}/b/{y}", "/{*all}"]);
    assert_eq!(found(&both, "/a/b/c%2Fd"), "/{x}/b/{y} x=a y=c/d");
    assert_eq!(found(&both, "/a/c/c%2Fd"), "none");
    // A catch-all behind it may stand for what follows.
    assert_eq!(
        found_alone("/{x}/{*rest}", "/a%2Fb/c"),
        "/{x}/{*rest} x=a/b rest=c"
    );
}

#[test]
fn two_catch_alls_at_one_place_are_refused_naming_both() {
    let mut router = router(&["/a/{*x}"]);
    let refusal = router.insert("/a/{*y}", "second").unwrap_err().to_string();
    assert!(refusal.contains("`/a/{*x}` and `/a/{*y}`"), "{refusal}");
    assert_eq!(found(&router, "/a/b/c"), "/a/{*x} x=b/c");
}

/// Few names, so that templates meet: a segment of a template, `None` for a variable.
fn any_shape() -> impl Strategy<Value = Vec<Option<&'static str>>> {
    let segment = prop_oneof![
        Just(None),
        Just(Some("a")),
        Just(Some("b")),
        Just(Some("é c"))
    ];
    prop::collection::vec(segment, 1..5)
}

fn template(shape: &[Option<&str>]) -> String {
    let segments = shape
        .iter()
        .enumerate()
        .map(|(index, segment)| match segment {
            Some(literal) => format!("/{literal}"),
            None => format!("/{{v{index}}}"),
        });
    segments.collect()
}

/// Each byte that may need it percent-encoded, and some that need not.
fn encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Whether a template matches a path, given by its decoded segments. `has_rest` says whether it ends with a catch-all.
fn covers((shape, has_rest): &(Vec<Option<&str>>, bool), path: &[&str]) -> bool {
    let Some((start, rest)) = path.split_at_checked(shape.len()) else {
        return false;
    };
    let fits_rest = if *has_rest {
        !rest.is_empty() && rest.iter().all(|part| !part.contains('/'))
    } else {
        rest.is_empty()
    };
    let mut pairs = shape.iter().zip(start);
    fits_rest && pairs.all(|(segment, part)| segment.is_none_or(|text| text == *part))
}

/// Exact segments first, then variables, then catch-alls, from left to right.
fn rank((shape, has_rest): &(Vec<Option<&str>>, bool)) -> Vec<u8> {
    let ranks = shape.iter().map(|segment| u8::from(segment.is_none()));
    ranks.chain(has_rest.then_some(2)).collect()
}

proptest! {
    #[test]
    fn a_path_made_from_a_template_finds_it_and_its_values(
        shape in any_shape(),
        values in prop::collection::vec("[^.]{1,6}", 5),
    ) {
        let template = template(&shape);
        let mut path = String::new();
        let mut expected = Vec::new();
        for (index, (segment, value)) in shape.iter().zip(&values).enumerate() {
            path += "/";
            path += &encode(segment.unwrap_or(value));
            if segment.is_none() {
                expected.push((format!("v{index}"), value.clone()));
            }
        }
        let router = router(&[&template]);
        let (_, parameters) = router.find(&path).expect("the template's own path");
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        prop_assert_eq!(parameters, expected);
    }

    /// The oracle is a search through all templates, so that this also says: adding templates
    /// never makes an exact match lose, and their order is of no account.
    #[test]
    fn the_best_of_all_templates_is_found(
        shapes in prop::collection::vec((any_shape(), any::<bool>()), 0..12),
        path in prop::collection::vec(prop_oneof!["a", "b", "é c", "d", "a/b"], 1..7),
    ) {
        let mut router = Router::new();
        for shape in &shapes {
            let rest = if shape.1 { "/{*rest}" } else { "" };
            // Equivalent shapes occur: the first stays.
            let _ = router.insert(&format!("{}{rest}", template(&shape.0)), rank(shape));
        }
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let target: String = parts.iter().map(|part| format!("/{}", encode(part))).collect();
        let best = shapes.iter().filter(|shape| covers(shape, &parts)).map(rank).min();
        prop_assert_eq!(router.find(&target).map(|(rank, _)| rank.clone()), best);
    }

    #[test]
    fn no_path_panics(path in prop_oneof![".*", "(/(a|%[0-9a-f]{0,2}|\\.|%2e|\\{x\\}|.)*)*"]) {
        let router = router(&["/", "/{x}", "/a/{y}", "/{x}/a/", "/a/a/{z}/{w}", "/a/a/{*rest}"]);
        if let Some((_, parameters)) = router.find(&path) {
            for (name, value) in parameters.iter() {
                prop_assert!(!matches!(value, "" | "." | ".."));
                let mut below = value.split('/');
                prop_assert!(name != "rest" || below.all(|part| !matches!(part, "." | "..")));
            }
        }
    }

    #[test]
    fn no_template_panics(template in prop_oneof![".*", "(/(\\{\\*?[a-b]?\\}|[a.%{}?*]|.){0,3})*"]) {
        if let Ok(template) = Template::parse(&template) {
            prop_assert!(!template.segments().is_empty());
        }
    }
}
