//! The browser re-computes what the server charged, so both must agree on every bit. Thousands of
//! quotes are made from the same seed and folded into one number, natively and in WebAssembly; the
//! expected number is written down here, so that neither can drift without the other.

use shared::money::{Points, UnitPrice};
use shared::price::Rates;
use shared::quote::quote;
use shared::tokens::Tokens;

use crate::test;

const QUOTES: usize = 20_000;
const EXPECTED: u64 = 7_612_931_745_153_302_554;

/// A xorshift generator: the same numbers on every target, which a library need not promise.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Any magnitude is as likely as any other, up to `bits` bits.
    fn up_to(&mut self, bits: u64) -> u64 {
        let kept = self.next() % bits + 1;
        self.next() >> (64 - kept)
    }

    fn unit_price(&mut self) -> UnitPrice {
        let nano = i64::try_from(self.up_to(44)).unwrap();
        UnitPrice::from_nano_per_token(nano).unwrap()
    }

    fn maybe_unit_price(&mut self) -> Option<UnitPrice> {
        let price = self.unit_price();
        self.next().is_multiple_of(2).then_some(price)
    }

    fn rates(&mut self) -> Rates {
        Rates {
            input: self.unit_price(),
            output: self.unit_price(),
            cached_input: self.maybe_unit_price(),
            cache_write: self.maybe_unit_price(),
            reasoning: self.maybe_unit_price(),
            per_request: Points::from_nano(i64::try_from(self.up_to(40)).unwrap()),
        }
    }

    fn tokens(&mut self) -> Tokens {
        Tokens {
            input: self.up_to(24),
            cached_input: self.up_to(24),
            cache_write: self.up_to(24),
            output: self.up_to(24),
            reasoning: self.up_to(24),
        }
    }
}

/// FNV-1a, 64 bits.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn every_target_computes_the_same_quotes() {
    let mut numbers = Numbers(0x746f_6c6c_6761_7465);
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut refused = 0;
    for _ in 0..QUOTES {
        match quote(&numbers.rates(), &numbers.tokens()) {
            Ok(quote) => hash = fold(hash, &serde_json::to_vec(&quote).unwrap()),
            Err(overflow) => {
                refused += 1;
                hash = fold(hash, overflow.to_string().as_bytes());
            }
        }
    }
    assert!(refused > 0 && refused < QUOTES / 2, "{refused} refused");
    assert_eq!(hash, EXPECTED);
}
