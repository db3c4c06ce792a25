/// Replaces control characters and quotes from `start` on by `\xNN` and `\"`, as a line of text has no other frame.
pub(super) fn text_controls(out: &mut Vec<u8>, start: usize) {
    let is_plain = |byte: &u8| !matches!(byte, 0..=0x1f | 0x7f | b'"');
    if out[start..].iter().all(is_plain) {
        return;
    }
    let value = out.split_off(start);
    for byte in value {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            0..=0x1f | 0x7f => out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]),
            _ => out.push(byte),
        }
    }
}

/// Turns what `out` holds from `start` on into a JSON string (RFC 8259 §7). Bytes that are not UTF-8 become U+FFFD.
pub(super) fn json_string(out: &mut Vec<u8>, start: usize) {
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
    if out[start..].iter().all(is_plain) {
        out.insert(start, b'"');
        out.push(b'"');
        return;
    }
    let value = out.split_off(start);
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=0x1f | 0x7f => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// A key with its quotes.
pub(super) fn json_key(key: &str) -> String {
    let mut out = key.as_bytes().to_vec();
    json_string(&mut out, 0);
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> u8 {
    match digit {
        0..=9 => b'0' + digit,
        _ => b'a' + (digit - 10),
    }
}
