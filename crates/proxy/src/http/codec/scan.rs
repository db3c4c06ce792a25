use super::{HeadLimits, Malformed};

/// Finds the end of a head that arrives in pieces, looking at each byte once.
///
/// Every line must end in CR LF; a bare LF is refused where it stands (RFC 9112 §2.2 lets us, and readers differ on it).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadScanner {
    /// Bytes looked at.
    seen: usize,
    line_start: usize,
    has_line: bool,
}

impl HeadScanner {
    /// The length of the head with its final empty line; `None` when more bytes are needed.
    ///
    /// `bytes` is the same buffer each time, grown. Call [`HeadScanner::default`] anew for the next head.
    pub(crate) fn find_end(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, Malformed> {
        while let Some(at) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let end = self.seen + at;
            if end == 0 || bytes.get(end - 1) != Some(&b'\r') {
                return Err(Malformed::BareLineEnd);
            }
            let is_empty_line = end == self.line_start + 1;
            self.seen = end + 1;
            self.line_start = self.seen;
            if is_empty_line && self.has_line {
                return if self.seen > limits.bytes { Err(Malformed::HeadTooLarge) } else { Ok(Some(self.seen)) };
            }
            // Empty lines before the start line are skipped (RFC 9112 §2.2), within the limit of the head.
            self.has_line |= !is_empty_line;
        }
        self.seen = bytes.len();
        if bytes.len() > limits.bytes { Err(Malformed::HeadTooLarge) } else { Ok(None) }
    }
}
