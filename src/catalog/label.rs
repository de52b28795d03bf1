//! Labels of versions: `A`, `B`, … `Z`, `AA`; `1`, `2`; `P01`, `P02`, `C01` (projectwise-api 4).

/// True if a version called `new` may be one that came after `old` of the same document.
///
/// No two versions of a document have one label. Labels of one kind are counted upwards; where the kind differs, or a
/// server tells no labels, nothing is known.
pub(super) fn may_follow(old: &str, new: &str) -> bool {
    if old == new {
        return old.is_empty();
    }
    // The first version may have none, and no other one.
    if new.is_empty() {
        return false;
    }
    match (split(old), split(new)) {
        (Some((before, one)), Some((after, other))) if before == after => other > one,
        (None, None) if is_counted(old) && is_counted(new) => (new.len(), new) > (old.len(), old),
        _ => true,
    }
}

/// What stands before a number, and the number.
fn split(label: &str) -> Option<(&str, u64)> {
    let text = label.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((text, label.get(text.len()..)?.parse().ok()?))
}

/// `A` to `ZZ`.
fn is_counted(label: &str) -> bool {
    matches!(label.len(), 1 | 2) && label.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_one_kind_count_upwards() {
        for (old, new) in [
            ("", ""),
            ("", "A"),
            ("", "1"),
            ("A", "B"),
            ("Z", "AA"),
            ("1", "2"),
            ("9", "10"),
            ("P01", "P02"),
            ("P09", "C01"),
            ("B", "1"),
            ("draft", "issued"),
        ] {
            assert!(may_follow(old, new), "{old:?} {new:?}");
        }
        for (old, new) in [
            ("A", ""),
            ("A", "A"),
            ("B", "A"),
            ("AA", "Z"),
            ("2", "1"),
            ("10", "9"),
            ("P02", "P01"),
        ] {
            assert!(!may_follow(old, new), "{old:?} {new:?}");
        }
    }
}
