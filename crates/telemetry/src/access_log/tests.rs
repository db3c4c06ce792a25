use std::time::Duration;

use super::*;

struct Line {
    user_agent: &'static [u8],
}

impl Values for Line {
    fn request_header(&self, name: &str) -> Option<&[u8]> {
        match name {
            ":method" => Some(b"GET"),
            ":path" => Some(b"/a?b"),
            "user-agent" => Some(self.user_agent),
            _ => None,
        }
    }

    fn response_header(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    fn response_trailer(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    fn start_time(&self) -> Duration {
        Duration::from_millis(1_700_000_000_007)
    }

    fn write(&self, field: Field, out: &mut Vec<u8>) {
        match field {
            Field::ResponseCode => out.extend_from_slice(b"200"),
            Field::Protocol => out.extend_from_slice(b"HTTP/1.1"),
            _ => {}
        }
    }
}

fn text(format: &str, user_agent: &'static [u8]) -> String {
    let mut out = Vec::new();
    Program::text(format).expect("valid format").write_line(&Line { user_agent }, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn the_standard_format_is_understood() {
    let line = text(STANDARD_FORMAT, b"curl");
    assert_eq!(
        line,
        "[2023-11-14T22:13:20.007Z] \"GET /a?b HTTP/1.1\" 200 - - - \"-\" - - - - \"-\" \"curl\" \"-\" \"-\" \"-\" - - - - - -\n"
    );
}

#[test]
fn a_value_has_a_length_a_second_name_and_an_escaped_percent() {
    assert_eq!(text("%REQ(:METHOD):2% %REQ(X-NONE?USER-AGENT)% 100%%", b"x"), "GE x 100%\n");
    assert_eq!(text("%START_TIME(%s.%3f %F %T)%", b""), "1700000000.007 2023-11-14 22:13:20\n");
}

#[test]
fn a_client_cannot_write_lines_of_its_own() {
    assert_eq!(text("\"%REQ(USER-AGENT)%\"", b"a\"b\r\nc\x7f"), "\"a\\\"b\\x0d\\x0ac\\x7f\"\n");
}

fn json(fields: &[(&str, &str)], user_agent: &'static [u8]) -> String {
    let fields = fields.iter().map(|(key, format)| (*key, Member::Text((*format).to_owned())));
    let mut out = Vec::new();
    Program::json(fields).expect("valid format").write_line(&Line { user_agent }, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn what_is_empty_can_be_left_out() {
    let members = [
        ("a", Member::Text("%ROUTE_NAME%".to_owned())),
        ("b", Member::Object(vec![("c".to_owned(), Member::Text("%RESPONSE_CODE%".to_owned()))])),
        ("d", Member::List(vec![Member::Literal("7".to_owned()), Member::Text("%ROUTE_NAME%".to_owned())])),
    ];
    let program = Program::json(members).expect("valid format").omitting_empty(true);
    let mut out = Vec::new();
    program.write_line(&Line { user_agent: b"" }, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "{\"b\":{\"c\":200},\"d\":[7]}\n");
    out.clear();
    let program = Program::text("[%ROUTE_NAME%] %PROTOCOL%").expect("valid format").omitting_empty(true);
    program.write_line(&Line { user_agent: b"" }, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "[] HTTP/1.1\n");
}

#[test]
fn paths_have_parts() {
    assert_eq!(text("%PATH% %PATH(NQ)% %PATH(WQ:PATH)% %PATH(NQ:ORIG)%", b""), "/a?b /a /a?b -\n");
    assert_eq!(text("[%QUERY_PARAM(b)%] [%QUERY_PARAMS%]", b""), "[-] [b]\n");
    assert!(Program::text("%PATH(X)%").is_err() && Program::text("%COMMON_DURATION(A:B)%").is_err());
    assert!(Program::text("%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)% %EMIT_TIME(%s)%").is_ok());
}

#[test]
fn json_has_numbers_null_and_mixed_strings() {
    let fields = [("a\"", "%RESPONSE_CODE%"), ("b", "%ROUTE_NAME%"), ("c", "%REQ(:METHOD)% %ROUTE_NAME%")];
    assert_eq!(json(&fields, b""), "{\"a\\\"\":200,\"b\":null,\"c\":\"GET -\"}\n");
    assert_eq!(json(&[], b""), "{}\n");
}

#[test]
fn json_stays_json_whatever_the_client_sends() {
    for value in [&b"\"},{\""[..], b"\\", b"\x00\x01\n\r\t", b"\xff\xfe ok", "å\u{2028}".as_bytes(), b"\xe5"] {
        let line = json(&[("v", "%REQ(USER-AGENT)%"), ("w", "x %REQ(USER-AGENT)%")], value);
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(parsed["v"], String::from_utf8_lossy(value).as_ref(), "{value:?}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let error = |format: &str| Program::text(format).expect_err("invalid").to_string();
    assert!(error("%UPSTREAM_CLOCK(a)%").contains("%UPSTREAM_CLOCK%"));
    assert!(error("%REQ%").contains("%REQ%"));
    assert!(error("%REQ(A):x%").contains(":x"));
    assert!(error("%PROTOCOL(x)%").contains("takes no parameter"));
    assert!(error("100% sure").contains("%%"));
    assert!(error("%START_TIME(%Q)%").contains("%Q"));
}
