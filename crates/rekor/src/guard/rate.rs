//! How often one address may write: a bucket of N writes that fills up again at N a minute, evenly. A client that has been
//! quiet may send N at once, then one every 60/N seconds; one that is refused loses nothing by it.
//!
//! Of a bucket only the moment is kept at which it will be full again, so a full one need not be kept. When too many
//! addresses are known, the one whose bucket is nearest to full is forgotten: it gains least by that, and nobody is ever
//! refused because of others.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MINUTE_NANOS: u64 = 60_000_000_000;
const SECOND_NANOS: u64 = 1_000_000_000;
/// How many addresses are remembered.
const CAPACITY: usize = 100_000;
/// How many full buckets a write clears away: more than it can add, few enough not to be felt.
const CLEARED: usize = 4;

/// Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, which is what one subscriber has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Client {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [first, second, third, fourth, ..] = address.segments();
                Self::V6([first, second, third, fourth])
            }
        }
    }
}

/// How a client stands after a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// Writes a minute.
    pub(super) limit: u32,
    /// Writes that it could make now.
    pub(super) remaining: u64,
    /// When its bucket is full again.
    pub(super) reset_seconds: u64,
}

/// See the module. Times are given as what passed since some beginning.
pub(super) struct Rate {
    limit: u32,
    interval: u64,
    burst: u64,
    capacity: usize,
    buckets: Mutex<Buckets>,
}

/// When each bucket that is not full will be, in nanoseconds, by client and in the order of time.
#[derive(Default)]
struct Buckets {
    full_at: HashMap<Client, u64>,
    order: BTreeSet<(u64, Client)>,
}

impl Rate {
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self::remembering(limit, CAPACITY)
    }

    fn remembering(limit: NonZeroU32, capacity: usize) -> Self {
        let limit = limit.get();
        let interval = MINUTE_NANOS / u64::from(limit);
        let burst = interval * u64::from(limit);
        Self { limit, interval, burst, capacity, buckets: Mutex::default() }
    }

    /// Takes a write out of an address's bucket, or says after how many seconds there will be one.
    pub(super) fn take(&self, address: IpAddr, now: Duration) -> (Standing, Option<u64>) {
        let client = Client::from(address);
        // Centuries are enough, and leave room to add to.
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 2);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let was = buckets.full_at.get(&client).copied().unwrap_or(0).max(now);
        let then = was + self.interval;
        let missing = (then - now).saturating_sub(self.burst);
        if missing > 0 {
            return (self.standing(was - now), Some(missing.div_ceil(SECOND_NANOS)));
        }
        buckets.put(client, then);
        buckets.clear(now, self.capacity);
        (self.standing(then - now), None)
    }

    fn standing(&self, until_full: u64) -> Standing {
        let remaining = self.burst.saturating_sub(until_full) / self.interval;
        Standing { limit: self.limit, remaining, reset_seconds: until_full.div_ceil(SECOND_NANOS) }
    }
}

impl Buckets {
    fn put(&mut self, client: Client, full_at: u64) {
        if let Some(was) = self.full_at.insert(client, full_at) {
            self.order.remove(&(was, client));
        }
        self.order.insert((full_at, client));
    }

    /// Forgets a few full buckets, and what is more than may be remembered.
    fn clear(&mut self, now: u64, capacity: usize) {
        for _ in 0..CLEARED {
            let Some((full_at, client)) = self.order.first().copied() else { return };
            if full_at > now && self.full_at.len() <= capacity {
                return;
            }
            self.order.remove(&(full_at, client));
            self.full_at.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(limit: u32) -> Rate {
        Rate::new(NonZeroU32::new(limit).expect("not zero"))
    }

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_full_bucket_is_spent_at_once_and_fills_up_evenly() {
        let (rate, one) = (rate(100), at("192.0.2.1"));
        for left in (0..100).rev() {
            let (standing, wait) = rate.take(one, ms(5));
            assert_eq!((standing.limit, standing.remaining, wait), (100, left, None));
        }
        let (standing, wait) = rate.take(one, ms(5));
        assert_eq!((standing.remaining, standing.reset_seconds, wait), (0, 60, Some(1)));
        assert_eq!(rate.take(one, ms(604)).1, Some(1), "599 ms are not enough");
        assert_eq!(rate.take(one, ms(605)).1, None, "600 ms are, and being refused cost nothing");
        assert_eq!(rate.take(one, ms(605)).1, Some(1));
        assert_eq!(rate.take(at("192.0.2.2"), ms(605)).0.remaining, 99, "another is not concerned");
        assert_eq!(rate.take(one, ms(60_605)).0.remaining, 99, "after a minute it is full again");
    }

    #[test]
    fn waiting_is_rounded_up_to_seconds() {
        let (rate, one) = (rate(2), at("192.0.2.1"));
        assert_eq!(rate.take(one, ms(0)), (Standing { limit: 2, remaining: 1, reset_seconds: 30 }, None));
        assert_eq!(rate.take(one, ms(0)), (Standing { limit: 2, remaining: 0, reset_seconds: 60 }, None));
        assert_eq!(rate.take(one, ms(1)), (Standing { limit: 2, remaining: 0, reset_seconds: 60 }, Some(30)));
        assert_eq!(rate.take(one, ms(29_001)).1, Some(1));
        assert_eq!(rate.take(one, ms(30_000)).1, None);
    }

    #[test]
    fn extreme_limits_and_times_do_not_overflow() {
        for limit in [1, 7, u32::MAX] {
            let rate = rate(limit);
            assert_eq!(rate.take(at("::1"), Duration::ZERO).1, None, "{limit}");
            assert_eq!(rate.take(at("::1"), Duration::MAX).1, None, "{limit}");
            rate.take(at("::1"), Duration::MAX);
        }
    }

    #[test]
    fn a_subscriber_is_one_client() {
        let rate = rate(1);
        assert_eq!(rate.take(at("2001:db8:1:2::1"), ms(0)).1, None);
        assert!(rate.take(at("2001:db8:1:2:ffff::9"), ms(0)).1.is_some(), "the same /64");
        assert_eq!(rate.take(at("2001:db8:1:3::1"), ms(0)).1, None, "the next /64");
        assert_eq!(rate.take(at("192.0.2.1"), ms(0)).1, None);
        assert!(rate.take(at("::ffff:192.0.2.1"), ms(0)).1.is_some(), "the same IPv4 address");
    }

    #[test]
    fn memory_is_bounded_and_who_wrote_most_is_remembered_longest() {
        let rate = Rate::remembering(NonZeroU32::new(10).expect("not zero"), 100);
        let greedy = at("203.0.113.1");
        for _ in 0..10 {
            assert_eq!(rate.take(greedy, ms(0)).1, None);
        }
        // A crowd comes, each with one write; nobody is refused for want of room.
        for n in 0..10_000_u32 {
            assert_eq!(rate.take(IpAddr::V4(n.into()), ms(1)).1, None, "{n}");
        }
        let kept = |rate: &Rate| {
            let buckets = rate.buckets.lock().expect("no panic");
            assert_eq!(buckets.order.len(), buckets.full_at.len());
            buckets.full_at.len()
        };
        assert_eq!(kept(&rate), 100);
        assert!(rate.take(greedy, ms(2)).1.is_some(), "the crowd did not make it forgotten");
        for n in 0..50 {
            rate.take(at("198.51.100.1"), ms(120_000 + n * 60_000));
        }
        assert_eq!(kept(&rate), 1, "full buckets are cleared away");
    }

    proptest! {
        /// However it is spread over time, nobody gets more than a bucket and what flows into it.
        #[test]
        fn no_more_than_a_bucket_and_its_inflow(limit in 1_u32..300, pauses in prop::collection::vec(0_u64..3_000, 1..400)) {
            let (rate, one) = (rate(limit), at("192.0.2.1"));
            let (mut now, mut taken) = (0, 0_u64);
            for pause in pauses {
                now += pause;
                taken += u64::from(rate.take(one, ms(now)).1.is_none());
                // One more for the nanoseconds that the division leaves over.
                prop_assert!(taken <= u64::from(limit) + now * u64::from(limit) / 60_000 + 1);
            }
        }
    }
}
