use serde_json::Value;

use super::*;

const TEXT: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: reviews }\nspec:\n  \
                    hosts: [reviews]\n  http:\n    - route:\n        - destination: { hots: reviews, subset: \"v1\" } # 1\n";

fn problem() -> FileProblem {
    FileProblem {
        source: "a dir/shop.yaml".to_owned(),
        line: 8,
        column: 26,
        object: "VirtualService default/reviews".to_owned(),
        field: "spec.http[0].route[0].destination.hots".to_owned(),
        code: "unknown_field".to_owned(),
        message: "unknown field `hots`, did you mean `host`?".to_owned(),
        severity: "error".to_owned(),
    }
}

fn rendered(format: Format) -> String {
    let inputs = [Input { source: "a dir/shop.yaml".to_owned(), text: TEXT.to_owned() }];
    Report { inputs: &inputs, objects: 1, problems: &[problem()] }.render(format, false)
}

#[test]
fn people_see_the_line_and_what_would_be_right() {
    let expected = "\
error[unknown_field]: unknown field `hots`
 --> a dir/shop.yaml:8:26
  |
8 |         - destination: { hots: reviews, subset: \"v1\" } # 1
  |                          ^^^^ VirtualService default/reviews: spec.http[0].route[0].destination.hots
  |
  = help: did you mean `host`?

";
    assert_eq!(rendered(Format::Text), expected);
}

#[test]
fn a_problem_without_a_place_is_told_too() {
    let problems = [FileProblem { line: 0, ..problem() }];
    let text = Report { inputs: &[], objects: 0, problems: &problems }.render(Format::Text, false);
    assert!(text.starts_with("error[unknown_field]: unknown field `hots`\n"), "{text}");
    assert!(text.contains("a dir/shop.yaml: VirtualService default/reviews"), "{text}");
}

#[test]
fn a_pipeline_gets_annotations() {
    let expected = "::error file=a dir/shop.yaml,line=8,col=26,endColumn=30,title=unknown_field::VirtualService \
                    default/reviews: spec.http[0].route[0].destination.hots: unknown field `hots`, did you mean \
                    `host`?\n";
    assert_eq!(rendered(Format::Github), expected);
}

#[test]
fn code_scanning_gets_sarif() {
    let log: Value = serde_json::from_str(&rendered(Format::Sarif)).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "unknown_field");
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"unknown_field".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20dir/shop.yaml");
    assert_eq!(place["region"], json!({ "startLine": 8, "startColumn": 26, "endColumn": 30 }));
}

#[test]
fn programs_get_json() {
    let report: Value = serde_json::from_str(&rendered(Format::Json)).unwrap();
    assert_eq!(report["errors"], 1);
    assert_eq!(report["problems"][0]["code"], "unknown_field");
}

#[test]
fn the_end_of_a_word_is_found() {
    let end =
        |line: &str, column| line.chars().skip(column - 1).take(end_column(line, column) - column).collect::<String>();
    assert_eq!(end("port: eighty  # no", 7), "eighty");
    assert_eq!(end("{ host: a.b:c, x: 1 }", 9), "a.b:c");
    assert_eq!(end("name: \"a \\\" b\" # x", 7), "\"a \\\" b\"");
    assert_eq!(end("name: two words", 7), "two words");
    assert_eq!(end("", 1), "");
}
