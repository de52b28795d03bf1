//! A one-page PDF 1.4 with a drawn bridge, a title, and a stream of filling that brings it to length.

use std::fmt::Write as _;

use crate::demo::seed::mix;

use super::fill;

/// `size` must be at least 2048.
pub(super) fn make(title: &str, seed: u64, size: usize) -> Vec<u8> {
    let page = page_content(title, seed);
    let mut out = Vec::with_capacity(size);
    let mut offsets = Vec::new();
    out.extend_from_slice(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 842 595] /Contents 5 0 R \
         /Resources << /Font << /F1 4 0 R >> >> >>"
            .to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{page}endstream", page.len()),
    ];
    for (index, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", index + 1).as_bytes());
    }
    offsets.push(out.len());
    // Every number that depends on the filling has a fixed width, so the tail's length is known beforehand.
    let filling_head = |length: usize| format!("6 0 obj\n<< /Length {length:010} >>\nstream\n").into_bytes();
    let filling_tail = b"\nendstream\nendobj\n";
    let tail_length = tail(&offsets, 0).len();
    let filling = size - out.len() - filling_head(0).len() - filling_tail.len() - tail_length;
    out.extend_from_slice(&filling_head(filling));
    fill(&mut out, seed, filling);
    out.extend_from_slice(filling_tail);
    let table = out.len();
    out.extend_from_slice(tail(&offsets, table).as_bytes());
    out
}

/// The cross-reference table and the trailer; entries are 20 bytes each, as the format demands.
fn tail(offsets: &[usize], table: usize) -> String {
    let count = offsets.len() + 1;
    let mut text = format!("xref\n0 {count}\n0000000000 65535 f \n");
    for offset in offsets {
        writeln!(text, "{offset:010} 00000 n ").expect("writing to a String cannot fail");
    }
    write!(
        text,
        "trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table:010}\n%%EOF\n"
    )
    .expect("writing to a String cannot fail");
    text
}

fn page_content(title: &str, seed: u64) -> String {
    let spans = 3 + mix(seed) % 5;
    let mut text = format!(
        "BT /F1 18 Tf 60 540 Td ({title}) Tj ET\nBT /F1 11 Tf 60 520 Td (Leven Estuary Crossing, {spans} spans) Tj ET\n\
         2 w 60 300 m 780 300 l S\n"
    );
    for pier in 0..=spans {
        let x = 60 + pier * 720 / spans;
        writeln!(text, "{x} 300 m {x} 180 l S").expect("writing to a String cannot fail");
    }
    text
}
