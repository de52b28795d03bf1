//! The bytes of the demo documents: real PDF, PNG, DXF, CSV and text files of an exact, chosen length.
//!
//! The listing must state the length of hundreds of thousands of documents without making them, so the length comes
//! first and each format pads itself to it. Bytes are a pure function of the [`Recipe`]; no two lines of a file are
//! alike, so that a block delivered at the wrong offset, or of the wrong version, is seen.

mod dxf;
mod media;
mod pdf;
mod png;

use crate::demo::seed::mix;
use crate::model::Guid;

pub(super) use self::media::media_type;

/// A kind of file the demo can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FileFormat {
    Pdf,
    Png,
    Dxf,
    Csv,
    Text,
}

impl FileFormat {
    /// The format an extension stands for; text where it stands for none of ours.
    pub(super) fn of_file_name(file_name: &str) -> Self {
        let extension = file_name.rsplit_once('.').map_or("", |(_, end)| end);
        match extension.to_ascii_lowercase().as_str() {
            "pdf" => Self::Pdf,
            "png" => Self::Png,
            "dxf" => Self::Dxf,
            "csv" => Self::Csv,
            _ => Self::Text,
        }
    }

    /// The shortest valid file of this format that we make, in bytes; generous so that headers always fit.
    pub(super) const fn smallest(self) -> u64 {
        match self {
            Self::Pdf => 2048,
            Self::Png | Self::Dxf => 1024,
            Self::Csv | Self::Text => 0,
        }
    }
}

/// How to make one version's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Recipe {
    format: FileFormat,
    guid: Guid,
    version: u32,
    size: u32,
}

impl Recipe {
    /// A recipe for `size` bytes, or the smallest valid file of that format where `size` is less.
    pub(super) fn new(format: FileFormat, guid: Guid, version: u32, size: u64) -> Self {
        let size = size.max(format.smallest());
        Self {
            format,
            guid,
            version,
            size: u32::try_from(size).expect("the worlds make, and the admin API takes, nothing near 4 GiB"),
        }
    }

    /// The exact length of what [`Recipe::make`] returns, in bytes.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.size)
    }

    pub(super) fn make(&self) -> Vec<u8> {
        let size = usize::try_from(self.size).expect("32 bits fit an address");
        let title = format!("Document {} version {}", self.guid.hex_prefix(8), self.version);
        let seed = self.seed();
        let bytes = match self.format {
            FileFormat::Pdf => pdf::make(&title, seed, size),
            FileFormat::Png => png::make(&title, seed, size),
            FileFormat::Dxf => dxf::make(&title, seed, size),
            FileFormat::Csv => csv(&title, seed, size),
            FileFormat::Text => text(&title, seed, size),
        };
        debug_assert_eq!(bytes.len(), size, "{:?} of {size} bytes", self.format);
        bytes
    }

    fn seed(&self) -> u64 {
        let bytes = self.guid.as_bytes();
        let half =
            |range: std::ops::Range<usize>| u64::from_be_bytes(bytes[range].try_into().expect("eight bytes"));
        mix(half(0..8) ^ mix(half(8..16) ^ mix(u64::from(self.version))))
    }
}

/// Appends `count` bytes of printable filling in lines of 64, each unlike any other.
fn fill(out: &mut Vec<u8>, seed: u64, count: usize) {
    const LINE: usize = 64;
    let end = out.len() + count;
    let mut line = [b' '; LINE];
    line[LINE - 1] = b'\n';
    let mut number = 0_u64;
    while out.len() < end {
        hex(&mut line[..8], number);
        for (index, word) in line[9..LINE - 2].chunks_exact_mut(18).enumerate() {
            let salt = u64::try_from(index).expect("a small index");
            hex(&mut word[..16], mix(seed ^ (number << 2) ^ salt));
        }
        let take = LINE.min(end - out.len());
        out.extend_from_slice(&line[..take]);
        number += 1;
    }
    // Whatever was cut, a text file ends with a line end.
    if count > 0 {
        out[end - 1] = b'\n';
    }
}

fn hex(place: &mut [u8], value: u64) {
    let mut rest = value;
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::from(rest.to_le_bytes()[0] & 15)];
        rest >>= 4;
    }
}

fn text(title: &str, seed: u64, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size);
    let head = format!("{title}\nLeven Estuary Crossing, site and office record\n\n");
    if head.len() < size {
        out.extend_from_slice(head.as_bytes());
    }
    let rest = size - out.len();
    fill(&mut out, seed, rest);
    out
}

fn csv(title: &str, seed: u64, size: usize) -> Vec<u8> {
    /// Longest row below, with room: rows are written while two of them fit, the last takes up the slack.
    const ROW: usize = 80;
    let mut out = Vec::with_capacity(size);
    let head = "station_m,load_case,moment_kNm,shear_kN,note\n";
    if size < head.len() + 2 * ROW {
        fill(&mut out, seed, size);
        return out;
    }
    out.extend_from_slice(head.as_bytes());
    let mut row = 0_u64;
    while size - out.len() > 2 * ROW {
        let noise = mix(seed ^ row);
        let line = format!(
            "{}.{},LC{:02},{}.{:02},{}.{:02},{:08x}\n",
            row / 4,
            (row % 4) * 25,
            noise % 40,
            (noise >> 8) % 9000,
            (noise >> 24) % 100,
            (noise >> 32) % 3000,
            (noise >> 48) % 100,
            row,
        );
        out.extend_from_slice(line.as_bytes());
        row += 1;
    }
    let start = format!("{row},LC00,0.00,0.00,{title} ");
    out.extend_from_slice(start.as_bytes());
    out.resize(size - 1, b'.');
    out.push(b'\n');
    out
}
