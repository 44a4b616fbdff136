use super::*;
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Sample {
    name: Text,
    count: u32,
    list: Option<Vec<u32>>,
}

fn problem(body: &str) -> serde_json::Value {
    match parse_body::<Sample>(body.as_bytes()) {
        Err(Error::Invalid(problems)) => serde_json::to_value(problems).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn problems_name_the_place_and_never_the_value() {
    assert_eq!(problem(r#"{"name":"a"}"#), json!([{"loc": ["body", "count"], "msg": "Field required"}]));
    assert_eq!(
        problem(r#"{"name":"a","count":"hunter2"}"#),
        json!([{"loc": ["body", "count"], "msg": "Expected u32"}])
    );
    assert_eq!(
        problem(r#"{"name":"a","count":1,"list":[1,"x, expected hunter2"]}"#),
        json!([{"loc": ["body", "list", "1"], "msg": "Expected u32"}])
    );
    assert_eq!(problem(r#"{"name":7,"count":1}"#)[0]["msg"], "Expected a string");
    assert_eq!(problem(r#"{"name":[104,105],"count":1}"#)[0]["msg"], "Expected a string");
    for malformed in ["", "hunter2", "{", r#"{"name":"a","count":1} hunter2"#, r#"{"name":"\q"}"#] {
        assert_eq!(problem(malformed), json!([{"loc": ["body"], "msg": "The body is not valid JSON"}]));
    }
}

#[test]
fn text_survives_what_unicode_forbids() {
    let parse = |body: &str| parse_body::<Sample>(body.as_bytes()).unwrap().name;
    assert_eq!(parse(r#"{"name":"\ud800","count":1}"#).valid, None);
    assert_eq!(parse(r#"{"name":"a\u0000é","count":1}"#).valid.as_deref(), Some("a\0é"));
    assert_eq!(parse(r#"{"name":"éé","count":1}"#).length, 2);
}

#[test]
fn the_scheme_is_case_insensitive() {
    let with = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        bearer(&headers).unwrap().map(str::to_owned)
    };
    assert_eq!(with("Bearer x.y.z").as_deref(), Some("x.y.z"));
    assert_eq!(with("bEARER  x").as_deref(), Some("x"));
    assert_eq!(with("Basic eDp5"), None);
    assert_eq!(with("Bearer"), None);
}

proptest! {
    #[test]
    fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_body::<Sample>(&bytes);
    }

    #[test]
    fn no_problem_repeats_a_secret(field in "name|count|list|other", quoted in any::<bool>()) {
        let secret = "s3cr3tv4lu3";
        let value = if quoted { format!("\"{secret}\"") } else { format!("[\"{secret}\"]") };
        let body = format!("{{\"{field}\":{value},\"x\":\"{secret}\"}}");
        if let Err(Error::Invalid(problems)) = parse_body::<Sample>(body.as_bytes()) {
            let text = serde_json::to_string(&problems).unwrap();
            prop_assert!(!text.contains(secret), "{}", text);
        }
    }
}
