/// A final response as a careful client reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Takes one response off `bytes`; `None` when it is not complete. Interim responses are skipped.
pub(crate) fn take_answer(bytes: &mut Vec<u8>, is_head: bool, is_end: bool) -> Option<Answer> {
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1)?.get(..3)?.parse().ok()?;
        let value =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        if (100..200).contains(&status) && status != 101 {
            bytes.drain(..end);
            continue;
        }
        if is_head || matches!(status, 204 | 304) {
            bytes.drain(..end);
            return Some(Answer { status, body: Vec::new() });
        }
        if value("transfer-encoding:").is_some() {
            let (body, length) = take_chunks(&bytes[end..])?;
            bytes.drain(..end + length);
            return Some(Answer { status, body });
        }
        let length = match value("content-length:") {
            Some(length) => length.parse().ok()?,
            None if is_end => bytes.len() - end,
            None => return None,
        };
        if bytes.len() < end + length {
            return None;
        }
        let body = bytes[end..end + length].to_vec();
        bytes.drain(..end + length);
        return Some(Answer { status, body });
    }
}

/// The body, and how many bytes it took with its last empty line. Trailers are taken to be few.
pub(crate) fn take_chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let line = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).ok()?, 16).ok()?;
        at += line + 2;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        bytes.get(at + size..at + size + 2).filter(|end| *end == b"\r\n")?;
        at += size + 2;
    }
    loop {
        let line = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some((body, at));
        }
    }
}
