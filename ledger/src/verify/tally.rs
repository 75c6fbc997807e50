//! Whether two tables tell of the same things, without joining them.
//!
//! Each thing is hashed under a key that nobody knows, and the hashes are summed up; sums of equal sets
//! are equal, and those of others differ but for one chance in 2^64. They are kept apart by the first
//! bits of the message's id, so that where they differ says where to look.

use std::hash::{BuildHasher, RandomState};

use uuid::Uuid;

use crate::store::verification::claim::ChargePlace;

const BUCKET_BITS: u32 = 16;
const BUCKETS: usize = 1 << BUCKET_BITS;

/// Sums of hashes of entries of messages.
#[derive(Clone)]
pub(super) struct Tally {
    key: RandomState,
    sums: Vec<u64>,
}

impl Tally {
    pub(super) fn new(key: RandomState) -> Self {
        Self {
            key,
            sums: vec![0; BUCKETS],
        }
    }

    pub(super) fn hash(&self, place: &ChargePlace) -> u64 {
        self.key.hash_one(place)
    }

    pub(super) fn add(&mut self, place: &ChargePlace) {
        let hash = self.hash(place);
        if let Some(sum) = self.sums.get_mut(bucket(place.message)) {
            *sum = sum.wrapping_add(hash);
        }
    }

    pub(super) fn take_all(&mut self, other: &Self) {
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.wrapping_sub(*other);
        }
    }

    /// What is left, bucket by bucket: its range of ids and its sum, where that is not what another tally
    /// has there.
    pub(super) fn differences(&self, other: &Self) -> Vec<((Uuid, Uuid), u64)> {
        let sums = self.sums.iter().zip(&other.sums).zip(0_u128..);
        let differing = sums.filter(|((sum, other), _)| sum != other);
        differing
            .map(|((sum, _), bucket)| {
                let first = bucket << (u128::BITS - BUCKET_BITS);
                let last = first | (u128::MAX >> BUCKET_BITS);
                ((Uuid::from_u128(first), Uuid::from_u128(last)), *sum)
            })
            .collect()
    }
}

fn bucket(message: Uuid) -> usize {
    usize::try_from(message.as_u128() >> (u128::BITS - BUCKET_BITS)).unwrap_or(0)
}
