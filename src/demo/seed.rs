//! Repeatable chance: everything of the demo world follows from one seed.

use crate::model::Guid;

/// A small generator of repeatable numbers (splitmix64: one multiplication chain, no state to spoil).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`, which must not be 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number from `low` up to, not including, `high`, small ones as likely as large ones by magnitude:
    /// sizes of real documents spread like that.
    pub(super) fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let mut ceiling = low;
        let mut doublings = 0;
        while ceiling < high {
            ceiling = ceiling.saturating_mul(2);
            doublings += 1;
        }
        let base = low << self.below(doublings.max(1));
        (base + self.below(base.max(1))).clamp(low, high.saturating_sub(1).max(low))
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        let count = u64::try_from(choices.len()).expect("a length fits 64 bits");
        let index = usize::try_from(self.below(count)).expect("below a length");
        choices[index]
    }

    /// A GUID of the random kind (version 4), repeatable.
    pub(super) fn guid(&mut self) -> Guid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Guid::from_bytes(bytes)
    }
}

/// Scrambles a number so that neighbours look unrelated.
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A 64-bit digest, the same on every machine; for entity tags, not against attackers.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word: [u8; 8] = word.try_into().expect("chunks of eight");
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        state ^= state >> 29;
    }
    for byte in words.remainder() {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state ^ u64::try_from(bytes.len()).expect("a length fits 64 bits"))
}
