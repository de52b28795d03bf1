//! A CAD (R12) exchange file: lines, one text, and comments that bring it to length.

use crate::demo::seed::mix;

/// Longest entity below with room; entities are written while two of them fit.
const ENTITY: usize = 160;
/// R12 readers take lines of up to 255 characters; comments stay well below.
const COMMENT: usize = 200;
const TAIL: &[u8] = b"0\nENDSEC\n0\nEOF\n";

/// `size` must be at least 1024.
pub(super) fn make(title: &str, seed: u64, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(b"0\nSECTION\n2\nHEADER\n9\n$ACADVER\n1\nAC1009\n0\nENDSEC\n");
    out.extend_from_slice(b"0\nSECTION\n2\nENTITIES\n");
    out.extend_from_slice(
        format!("0\nTEXT\n8\nTITLE\n10\n0.0\n20\n-50.0\n30\n0.0\n40\n5.0\n1\n{title}\n").as_bytes(),
    );
    let end = size - TAIL.len();
    let mut count = 0_u64;
    while end - out.len() > 2 * ENTITY {
        let noise = mix(seed ^ count);
        let line = format!(
            "0\nLINE\n8\nSTEEL\n10\n{}.0\n20\n{}.0\n30\n0.0\n11\n{}.0\n21\n{}.{}\n31\n0.0\n",
            count * 10,
            noise % 900,
            count * 10 + 10,
            (noise >> 16) % 900,
            (noise >> 32) % 10,
        );
        out.extend_from_slice(line.as_bytes());
        count += 1;
    }
    while out.len() < end {
        comment(&mut out, end);
    }
    out.extend_from_slice(TAIL);
    out
}

/// Writes one `999` comment that never leaves less than a whole comment's room before `end`.
fn comment(out: &mut Vec<u8>, end: usize) {
    /// `999`, a line end, and the line end of the comment itself.
    const FRAME: usize = 5;
    let rest = end - out.len();
    let length = if rest <= COMMENT {
        rest
    } else {
        rest.min(COMMENT) - FRAME
    };
    out.extend_from_slice(b"999\n");
    out.resize(out.len() + length - FRAME, b'-');
    out.push(b'\n');
}
