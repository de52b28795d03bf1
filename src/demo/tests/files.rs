//! The made files are what their names say.

use std::collections::BTreeMap;

use crate::demo::files::{FileFormat, Recipe};
use crate::model::Guid;

fn guid(byte: u8) -> Guid {
    Guid::from_bytes([byte; 16])
}

fn make(format: FileFormat, size: u64) -> Vec<u8> {
    Recipe::new(format, guid(9), 1, size).make()
}

const FORMATS: [FileFormat; 5] = [
    FileFormat::Pdf,
    FileFormat::Png,
    FileFormat::Dxf,
    FileFormat::Csv,
    FileFormat::Text,
];

#[test]
fn every_length_is_met_exactly() {
    for format in FORMATS {
        let smallest = format.smallest();
        for size in (smallest..smallest + 700).chain([65_535, 65_536, 100_001, 1_300_007]) {
            let made = make(format, size).len();
            assert_eq!(u64::try_from(made).unwrap(), size, "{format:?}");
        }
    }
}

#[test]
fn bytes_follow_from_guid_and_version() {
    for format in FORMATS {
        let recipe = |byte, version| Recipe::new(format, guid(byte), version, 5000).make();
        assert_eq!(recipe(1, 0), recipe(1, 0));
        assert_ne!(recipe(1, 0), recipe(1, 1), "{format:?}");
        assert_ne!(recipe(1, 0), recipe(2, 0), "{format:?}");
    }
}

#[test]
fn no_two_blocks_of_a_large_file_are_alike() {
    let bytes = make(FileFormat::Pdf, 3 << 20);
    let blocks: std::collections::HashSet<_> = bytes.chunks_exact(4096).collect();
    assert_eq!(blocks.len(), bytes.len() / 4096);
}

#[test]
fn a_pdf_is_found_by_its_cross_references() {
    for size in [2048, 50_001] {
        let bytes = make(FileFormat::Pdf, size);
        assert!(bytes.starts_with(b"%PDF-1.4\n"));
        let text = String::from_utf8_lossy(&bytes[bytes.len() - 400..]).into_owned();
        let start = text.split("startxref\n").nth(1).unwrap();
        let table: usize = start.split('\n').next().unwrap().parse().unwrap();
        let xref = std::str::from_utf8(&bytes[table..]).unwrap();
        let mut lines = xref.split_inclusive('\n').skip(1);
        let count: usize = lines
            .next()
            .unwrap()
            .trim()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(lines.next().unwrap(), "0000000000 65535 f \n");
        for number in 1..count {
            let line = lines.next().unwrap();
            assert_eq!((line.len(), &line[10..]), (20, " 00000 n \n"));
            let offset: usize = line[..10].parse().unwrap();
            let object = format!("{number} 0 obj\n");
            assert!(bytes[offset..].starts_with(object.as_bytes()), "object {number}");
            // A stream's length leads exactly to its end.
            let rest = &bytes[offset..];
            let head = String::from_utf8_lossy(&rest[..120.min(rest.len())]).into_owned();
            if let Some(length) = head.split("/Length ").nth(1)
                && head
                    .find("endobj")
                    .is_none_or(|end| head.find("/Length").unwrap() < end)
            {
                let digits: String = length.chars().take_while(char::is_ascii_digit).collect();
                let begin = head.find("stream\n").unwrap() + 7;
                let end = &rest[begin + digits.parse::<usize>().unwrap()..];
                let trimmed = end.strip_prefix(b"\n").unwrap_or(end);
                assert!(trimmed.starts_with(b"endstream"), "object {number}");
            }
        }
        assert!(lines.next().unwrap().starts_with("trailer"));
    }
}

#[test]
fn a_png_has_sound_chunks_and_pixels() {
    for size in [1024, 70_000, 300_123] {
        let bytes = make(FileFormat::Png, size);
        let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut chunks = BTreeMap::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let covered = &rest[4..8 + length];
            let check = u32::from_be_bytes(rest[8 + length..12 + length].try_into().unwrap());
            assert_eq!(check, slow_crc(covered));
            chunks.insert(covered[..4].to_vec(), covered[4..].to_vec());
            rest = &rest[12 + length..];
        }
        let header = &chunks[b"IHDR".as_slice()];
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap()) as usize;
        let (width, height) = (number(0), number(4));
        assert_eq!(header[8..], [8, 2, 0, 0, 0]);
        let data = &chunks[b"IDAT".as_slice()];
        assert_eq!(u16::from_be_bytes([data[0], data[1]]) % 31, 0);
        let (mut at, mut pixels) = (2, Vec::new());
        loop {
            let last = data[at];
            let length = u16::from_le_bytes([data[at + 1], data[at + 2]]);
            let inverse = u16::from_le_bytes([data[at + 3], data[at + 4]]);
            assert_eq!(length, !inverse);
            at += 5;
            pixels.extend_from_slice(&data[at..at + usize::from(length)]);
            at += usize::from(length);
            if last == 1 {
                break;
            }
        }
        assert_eq!(pixels.len(), height * (width * 3 + 1));
        assert_eq!(data[at..], slow_adler(&pixels).to_be_bytes());
        assert!(chunks[b"IEND".as_slice()].is_empty());
    }
}

/// Bit by bit, unlike the code under test.
fn slow_crc(bytes: &[u8]) -> u32 {
    let mut check = u32::MAX;
    for byte in bytes {
        check ^= u32::from(*byte);
        for _ in 0..8 {
            check = if check & 1 == 1 {
                (check >> 1) ^ 0xedb8_8320
            } else {
                check >> 1
            };
        }
    }
    !check
}

fn slow_adler(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1, 0);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    (b << 16) | a
}

#[test]
fn a_dxf_is_pairs_of_lines_from_section_to_end() {
    let bytes = make(FileFormat::Dxf, 9_999);
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len().is_multiple_of(2));
    for pair in lines.chunks_exact(2) {
        assert!(pair[0].trim().parse::<u32>().is_ok(), "{pair:?}");
        assert!(pair[1].len() < 256);
    }
    assert!(lines.chunks_exact(2).filter(|pair| pair[1] == "LINE").count() > 20);
    assert_eq!(lines[lines.len() - 2..], ["0", "EOF"]);
}

#[test]
fn a_csv_has_as_many_columns_in_every_row() {
    let text = String::from_utf8(make(FileFormat::Csv, 5_000)).unwrap();
    assert!(text.lines().all(|line| line.split(',').count() == 5));
    assert!(text.ends_with('\n'));
}
