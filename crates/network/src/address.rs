//! Address ranges, and who has which address of the pod range. Pure bookkeeping.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of IPv4 addresses, such as 10.244.0.0/16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

/// A text that is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an IPv4 range like 10.244.0.0/16")]
pub struct CidrError {
    text: String,
}

impl Ipv4Cidr {
    /// A range; host bits of `address` are dropped. `None` when `prefix` is over 32.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| {
            let range = Self { address, prefix };
            Self { address: Ipv4Addr::from_bits(address.to_bits() & range.mask()), prefix }
        })
    }

    /// The first address.
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// The length of the network part, in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The network mask as a number.
    pub(crate) fn mask(self) -> u32 {
        u32::MAX.checked_shl(u32::from(32 - self.prefix)).unwrap_or(0)
    }

    /// Whether `address` is in the range.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.address.to_bits()
    }

    /// The last address.
    fn last(self) -> u32 {
        self.address.to_bits() | !self.mask()
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Ipv4Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Self::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| CidrError { text: text.to_owned() })
    }
}

/// The addresses of the pod range. Gives out the next one after the last, so that an address rests before it
/// comes again.
#[derive(Debug)]
pub(crate) struct AddressPool {
    range: Ipv4Cidr,
    taken: BTreeSet<Ipv4Addr>,
    last: u32,
}

impl AddressPool {
    pub(crate) fn new(range: Ipv4Cidr) -> Self {
        Self { range, taken: BTreeSet::new(), last: range.address().to_bits() + 1 }
    }

    /// Marks an address as taken; `false` when it was, or when it is not in the range.
    pub(crate) fn take(&mut self, address: Ipv4Addr) -> bool {
        self.range.contains(address) && self.taken.insert(address)
    }

    pub(crate) fn free(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address);
    }

    /// The next free address. The first two and the last one stay unused, as people expect of a subnet.
    pub(crate) fn allocate(&mut self) -> Option<Ipv4Addr> {
        let first = self.range.address().to_bits() + 2;
        let end = self.range.last();
        let after = (self.last + 1).clamp(first, end);
        let address =
            (after..end).chain(first..after).map(Ipv4Addr::from_bits).find(|ip| !self.taken.contains(ip))?;
        self.taken.insert(address);
        self.last = address.to_bits();
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_and_compared() {
        let range: Ipv4Cidr = "10.244.3.9/16".parse().unwrap();
        assert_eq!(range.to_string(), "10.244.0.0/16");
        assert!(range.contains(Ipv4Addr::new(10, 244, 255, 255)));
        assert!(!range.contains(Ipv4Addr::new(10, 245, 0, 0)));
        assert!(range.overlaps("10.244.7.0/24".parse().unwrap()));
        assert!(range.overlaps("0.0.0.0/0".parse().unwrap()));
        assert!(!range.overlaps("10.96.0.0/16".parse().unwrap()));
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "x/8", "10.0.0.0/-1", ""] {
            text.parse::<Ipv4Cidr>().unwrap_err();
        }
    }

    #[test]
    fn a_small_range_is_used_up_and_comes_back() {
        let mut pool = AddressPool::new("10.0.0.0/29".parse().unwrap());
        let all: Vec<_> = std::iter::from_fn(|| pool.allocate()).map(|ip| ip.octets()[3]).collect();
        assert_eq!(all, [2, 3, 4, 5, 6]);
        pool.free(Ipv4Addr::new(10, 0, 0, 4));
        assert_eq!(pool.allocate(), Some(Ipv4Addr::new(10, 0, 0, 4)));
        assert_eq!(pool.allocate(), None);
    }

    #[test]
    fn a_freed_address_rests() {
        let mut pool = AddressPool::new("10.244.0.0/16".parse().unwrap());
        let first = pool.allocate().unwrap();
        pool.free(first);
        assert_ne!(pool.allocate(), Some(first));
        assert!(!pool.take(Ipv4Addr::new(192, 168, 0, 1)), "not of this range");
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice(frees in prop::collection::vec(any::<prop::sample::Index>(), 0..200)) {
            let mut pool = AddressPool::new("10.0.0.0/26".parse().unwrap());
            let mut held = Vec::new();
            for free in frees {
                if held.len() > 3 && free.index(2) == 0 {
                    pool.free(held.swap_remove(free.index(held.len())));
                } else if let Some(address) = pool.allocate() {
                    prop_assert!(!held.contains(&address));
                    held.push(address);
                } else {
                    prop_assert_eq!(held.len(), 61);
                }
            }
        }
    }
}
