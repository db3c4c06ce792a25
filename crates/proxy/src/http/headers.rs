//! The header lines of one message: ranges into the bytes they arrived in, plus a small buffer for lines added since.
//!
//! Shape       1 `Headers` -> 1 `received` block (shared, immutable) + 1 `added` buffer -> n `Field`
//! Invariants  every field lies in one of the two buffers; order is the order of arrival, added lines last
//! Cost        a look-up compares lengths, then bytes; edits copy only what they add; no allocation per header once warm;
//!             lines that nobody touched are written in one piece
//! Source      RFC 9110 §5 (names are case-insensitive, lines of one name may repeat)

use bytes::Bytes;

#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    received: Bytes,
    added: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Span,
    value: Span,
}

/// Offsets below `received.len()` are in `received`, the others in `added`.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

/// One of the two buffers, and its offset.
#[derive(Clone, Copy)]
struct Block<'a>(&'a [u8], usize);

impl Block<'_> {
    /// Where a line ends that lies here just as it is written.
    fn end_of_line(self, Field { name, value }: &Field) -> Option<u32> {
        let end = value.end.checked_add(2)?;
        let is_line = value.start == name.end + 2 && self.has(*b": ", name.end) && self.has(*b"\r\n", value.end);
        is_line.then_some(end)
    }

    fn has(self, pair: [u8; 2], offset: u32) -> bool {
        let at = (offset as usize).wrapping_sub(self.1);
        self.0.get(at..).and_then(<[u8]>::first_chunk) == Some(&pair)
    }
}

impl Headers {
    /// Forgets everything but the room for fields.
    pub(crate) fn clear(&mut self) {
        self.received = Bytes::new();
        self.added.clear();
        self.fields.clear();
    }

    /// Starts over with lines that lie in `received`; [`Headers::push_received`] names them.
    pub(super) fn reset(&mut self, received: Bytes) {
        self.received = received;
        self.added.clear();
        self.fields.clear();
    }

    /// A line whose name and value are sub-slices of the block given to [`Headers::reset`]. Others are copied.
    pub(super) fn push_received(&mut self, name: &[u8], value: &[u8]) {
        match (self.span_of(name), self.span_of(value)) {
            (Some(name), Some(value)) => self.fields.push(Field { name, value }),
            _ => self.append(name, value),
        }
    }

    fn span_of(&self, part: &[u8]) -> Option<Span> {
        let start = (part.as_ptr() as usize).checked_sub(self.received.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        if end > self.received.len() {
            return None;
        }
        Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    fn bytes(&self, span: Span) -> &[u8] {
        let (start, end) = (span.start as usize, span.end as usize);
        let split = self.received.len();
        if end <= split {
            self.received.get(start..end)
        } else {
            self.added.get(start.wrapping_sub(split)..end.wrapping_sub(split))
        }
        .unwrap_or_default()
    }

    /// Makes room for so many more lines, and so many bytes of them.
    pub(super) fn reserve(&mut self, lines: usize, bytes: usize) {
        self.fields.reserve(lines);
        self.added.reserve(bytes);
    }

    /// Has more room than a usual head needs.
    pub(super) fn is_large(&self) -> bool {
        self.added.capacity() > 4096 || self.fields.capacity() > 128
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.bytes(field.name), self.bytes(field.value)))
    }

    /// Writes all lines as `name: value`; `spell` is given each name where it was written. Lines that lie one after the other
    /// as they are written are copied together.
    pub(super) fn write_lines(&self, out: &mut Vec<u8>, mut spell: impl FnMut(&mut [u8])) {
        let mut fields = self.fields.as_slice();
        while let Some((first, rest)) = fields.split_first() {
            let from = out.len();
            let (start, split) = (first.name.start, self.received.len());
            let block = if (start as usize) < split { Block(&self.received, 0) } else { Block(&self.added, split) };
            let Some(mut end) = block.end_of_line(first) else {
                // The sender put other spaces between name and value.
                out.extend_from_slice(self.bytes(first.name));
                spell(out.get_mut(from..).unwrap_or_default());
                out.extend_from_slice(b": ");
                out.extend_from_slice(self.bytes(first.value));
                out.extend_from_slice(b"\r\n");
                fields = rest;
                continue;
            };
            let mut count = 1;
            for next in rest {
                match block.end_of_line(next) {
                    Some(next_end) if next.name.start == end => end = next_end,
                    _ => break,
                }
                count += 1;
            }
            let (lines, others) = fields.split_at(count);
            out.extend_from_slice(self.bytes(Span { start, end }));
            let written = out.get_mut(from..).unwrap_or_default();
            for Field { name, .. } in lines {
                spell(written.get_mut((name.start - start) as usize..(name.end - start) as usize).unwrap_or_default());
            }
            fields = others;
        }
    }

    /// The first line of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        let field = self.fields.iter().find(|field| self.is_named(field, name))?;
        Some(self.bytes(field.value))
    }

    pub(crate) fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_bytes();
        self.fields.iter().filter(move |field| self.is_named(field, name)).map(|field| self.bytes(field.value))
    }

    fn is_named(&self, field: &Field, name: &[u8]) -> bool {
        (field.name.end - field.name.start) as usize == name.len() && self.bytes(field.name).eq_ignore_ascii_case(name)
    }

    pub(crate) fn append(&mut self, name: &[u8], value: &[u8]) {
        let start = self.received.len() + self.added.len();
        // As a line, so that it is written without looking at its parts.
        self.added.reserve(name.len() + value.len() + 4);
        self.added.extend_from_slice(name);
        self.added.extend_from_slice(b": ");
        self.added.extend_from_slice(value);
        self.added.extend_from_slice(b"\r\n");
        // Heads are limited to far below 4 GiB.
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let span = |start: usize, length: usize| Span { start: clamp(start), end: clamp(start + length) };
        self.fields.push(Field { name: span(start, name.len()), value: span(start + name.len() + 2, value.len()) });
    }

    /// The only line of that name from now on.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.append(name.as_bytes(), value);
    }

    /// Whether there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.remove_bytes(name.as_bytes())
    }

    pub(crate) fn remove_bytes(&mut self, name: &[u8]) -> bool {
        let before = self.fields.len();
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|field| !self.is_named(field, name));
        self.fields = fields;
        self.fields.len() != before
    }

    /// Keeps the lines for which `keep(name, value)` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|field| keep(self.bytes(field.name), self.bytes(field.value)));
        self.fields = fields;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_keep_what_was_received_and_find_names_in_any_case() {
        let block = Bytes::from_static(b"Host: a\r\nX-A: 1\r\nx-a: 2\r\n");
        let mut headers = Headers::default();
        headers.reset(block.clone());
        headers.push_received(&block[0..4], &block[6..7]);
        headers.push_received(&block[9..12], &block[14..15]);
        headers.push_received(&block[17..20], &block[22..23]);
        assert_eq!(headers.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        headers.append(b"x-b", b"");
        headers.set("x-a", b"3");
        assert_eq!(headers.get("X-B"), Some(&b""[..]));
        assert_eq!(headers.get_all("x-a").collect::<Vec<_>>(), [b"3"]);
        assert!(headers.remove("HOST") && !headers.contains("host"));
        assert_eq!(headers.len(), 2);
    }
}
