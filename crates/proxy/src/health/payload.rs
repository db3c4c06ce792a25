/// Whether `wanted` are found in `data`, in their order, with anything between.
pub(super) fn contains_all(data: &[u8], wanted: &[Vec<u8>]) -> bool {
    let mut rest = data;
    wanted.iter().all(|part| match memchr::memmem::find(rest, part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_their_order() {
        let wanted = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
        assert!(contains_all(b"one two three", &wanted(&["one", "three"])));
        assert!(contains_all(b"aa", &wanted(&["a", "a"])) && !contains_all(b"a", &wanted(&["a", "a"])));
        assert!(!contains_all(b"one two", &wanted(&["two", "one"])));
        assert!(contains_all(b"", &[]));
    }
}
