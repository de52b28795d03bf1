//! A true-colour PNG of an arch over water, brought to length by a comment chunk.
//!
//! The pixels are packed with *stored* deflate blocks: no compressor is needed, and the length follows from the
//! dimensions alone.

use crate::demo::seed::mix;

use super::fill;

/// The most a stored deflate block holds: its length field has 16 bits.
const BLOCK: usize = 65_535;
/// Keyword of the comment chunk, with its separator.
const COMMENT: &[u8] = b"Comment\0";
/// Signature 8, IHDR 25, IDAT frame 12, zlib head and checksum 6, tEXt frame 12, IEND 12.
const FRAMES: usize = 8 + 25 + 12 + 6 + 12 + COMMENT.len() + 12;

/// `size` must be at least 1024.
pub(super) fn make(title: &str, seed: u64, size: usize) -> Vec<u8> {
    let (width, height) = dimensions(size - FRAMES - title.len());
    let pixels = draw(width, height, seed);
    let mut data = Vec::with_capacity(size);
    data.extend_from_slice(&[0x78, 0x01]);
    let mut blocks = pixels.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("chunked to 16 bits");
        data.push(u8::from(blocks.peek().is_none()));
        data.extend_from_slice(&length.to_le_bytes());
        data.extend_from_slice(&(!length).to_le_bytes());
        data.extend_from_slice(block);
    }
    data.extend_from_slice(&adler32(&pixels).to_be_bytes());

    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&number(width).to_be_bytes());
    header.extend_from_slice(&number(height).to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);

    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(b"\x89PNG\r\n\x1a\n");
    chunk(&mut out, *b"IHDR", &header);
    let mut comment = Vec::from(COMMENT);
    comment.extend_from_slice(title.as_bytes());
    let rest = size - out.len() - 12 - data.len() - 12 - comment.len() - 12;
    fill(&mut comment, seed, rest);
    chunk(&mut out, *b"tEXt", &comment);
    chunk(&mut out, *b"IDAT", &data);
    chunk(&mut out, *b"IEND", &[]);
    out
}

/// The largest picture of about 4:3 whose stored data stay within `budget` bytes.
fn dimensions(budget: usize) -> (usize, usize) {
    let width = (budget * 4 / 9).isqrt().max(1);
    let mut height = (budget / (width * 3 + 1)).max(1);
    while height > 1 {
        let raw = height * (width * 3 + 1);
        if raw + 5 * raw.div_ceil(BLOCK) <= budget {
            break;
        }
        height -= 1;
    }
    (width, height)
}

fn draw(width: usize, height: usize, seed: u64) -> Vec<u8> {
    let tint = mix(seed).to_le_bytes();
    let mut out = Vec::with_capacity(height * (width * 3 + 1));
    for y in 0..height {
        out.push(0);
        let shade = low_byte(y * 160 / height);
        let sky = [shade / 2 + tint[0] / 8, shade / 2 + 90, 255 - shade / 2];
        let deck = y * 10 / height == 4;
        // A parabola through the deck's ends: |x| grows as the square root of the depth below the crown.
        let depth = (y * 100 / height).saturating_sub(50);
        let reach = width / 2 * (depth * 100).isqrt() / 71;
        for x in 0..width {
            let away = x.abs_diff(width / 2);
            let arch = depth > 0 && away.abs_diff(reach) * 40 < width;
            let grain = low_byte(x ^ y) & 7;
            let colour = match (deck || arch, y * 10 / height > 8) {
                (true, _) => [70 + grain, 70 + tint[1] / 8, 74],
                (false, true) => [20, 60 + grain, 110 + tint[2] / 8],
                (false, false) => sky,
            };
            out.extend_from_slice(&colour);
        }
    }
    out
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

fn number(value: usize) -> u32 {
    u32::try_from(value).expect("pictures and chunks are far below 4 GiB")
}

fn chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    out.extend_from_slice(&number(data.len()).to_be_bytes());
    let start = out.len();
    out.extend_from_slice(&kind);
    out.extend_from_slice(data);
    let check = crc32(&out[start..]);
    out.extend_from_slice(&check.to_be_bytes());
}

/// The CRC of PNG and zip (reflected 0x04C11DB7).
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "below 256, and const code has no try_from"
            )]
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    let mut check = u32::MAX;
    for byte in bytes {
        check = TABLE[usize::from(check.to_le_bytes()[0] ^ byte)] ^ (check >> 8);
    }
    !check
}

/// The checksum of zlib.
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    /// The longest run whose sums cannot overflow 32 bits before the modulus (zlib's NMAX).
    const RUN: usize = 5552;
    let (mut a, mut b) = (1_u32, 0_u32);
    for run in bytes.chunks(RUN) {
        for byte in run {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    (b << 16) | a
}
