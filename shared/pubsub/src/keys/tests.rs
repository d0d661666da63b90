//! Each rule on its own, and all of them against a model of a bus that hands over, takes back and repeats at random.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use super::*;

/// What a hold was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Ack(u32),
    Nack(u32),
}

type Log = Rc<RefCell<Vec<Did>>>;

struct FakeHold(u32, Log);

impl Hold for FakeHold {
    fn ack(self) {
        self.1.borrow_mut().push(Did::Ack(self.0));
    }
    fn nack(self) {
        self.1.borrow_mut().push(Did::Nack(self.0));
    }
}

const RULES: Rules = Rules {
    lease: Duration::from_secs(10),
    retry_min: Duration::from_secs(1),
    retry_max: Duration::from_secs(8),
    per_key: 4,
    max_out: 3,
};

struct Bench {
    keys: Keys<u32, FakeHold>,
    log: Log,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { keys: Keys::new(RULES), log: Log::default(), now: Instant::now() }
    }

    fn arrive(&mut self, key: &str, n: u32) {
        self.keys.arrive(key, &n.to_string(), n.into(), n, FakeHold(n, Rc::clone(&self.log)), self.now);
    }

    fn take(&mut self) -> Option<Out<u32>> {
        self.keys.take(self.now)
    }

    fn take_is(&mut self, n: u32) -> Out<u32> {
        let out = self.take().expect("one is ready");
        assert_eq!(out.message, n);
        out
    }

    fn answer(&mut self, out: &Out<u32>, answer: Answer) -> bool {
        self.keys.answer(&out.key, out.token, answer, self.now)
    }

    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn did(&mut self) -> Vec<Did> {
        std::mem::take(&mut *self.log.borrow_mut())
    }
}

#[test]
fn a_follower_waits_for_the_one_before_it() {
    let mut bench = Bench::new();
    (1..=2).for_each(|n| bench.arrive("a", n));
    bench.arrive("b", 3);
    let one = bench.take_is(1);
    bench.take_is(3);
    assert!(bench.take().is_none());
    assert!(bench.answer(&one, Answer::Again(None)));
    bench.pass(0.8);
    assert!(bench.take().is_none());
    bench.pass(0.3);
    let one = bench.take_is(1);
    assert_eq!((one.attempt, one.unanswered), (2, 0));
    assert!(bench.answer(&one, Answer::Done));
    assert!(!bench.answer(&one, Answer::Done));
    bench.take_is(2);
    assert_eq!(bench.did(), [Did::Ack(1)]);
}

#[test]
fn who_goes_behind_waits_for_what_was_published_before_and_lets_nothing_later_pass() {
    let mut bench = Bench::new();
    let behind = Answer::Behind(Duration::from_secs(1));
    bench.arrive("a", 2);
    bench.arrive("a", 3);
    let two = bench.take_is(2);
    assert!(bench.answer(&two, behind));
    assert!(bench.take().is_none(), "3 comes after 2");
    bench.pass(1.1);
    let two = bench.take_is(2);
    assert_eq!((two.attempt, two.unanswered), (2, 0));
    assert!(bench.answer(&two, behind));
    bench.arrive("a", 4);
    assert!(bench.take().is_none(), "so does 4");
    // What they wait for comes: at once, not after the wait.
    bench.arrive("a", 1);
    let one = bench.take_is(1);
    assert!(bench.answer(&one, Answer::Done));
    for n in [2, 3, 4] {
        let out = bench.take_is(n);
        assert!(bench.answer(&out, Answer::Done));
    }
    assert_eq!(bench.did(), [1, 2, 3, 4].map(Did::Ack));
    assert!(bench.keys.keys.is_empty());
}

#[test]
fn what_was_published_before_and_came_while_the_first_was_out_goes_next() {
    let mut bench = Bench::new();
    bench.arrive("a", 3);
    let three = bench.take_is(3);
    (1..=2).for_each(|n| bench.arrive("a", n));
    assert!(bench.answer(&three, Answer::Behind(Duration::from_secs(1))));
    for n in [1, 2, 3] {
        let out = bench.take_is(n);
        assert!(bench.answer(&out, Answer::Done));
    }
}

#[test]
fn a_lost_lease_and_a_dropped_one_are_unanswered() {
    let mut bench = Bench::new();
    bench.arrive("a", 1);
    let late = bench.take_is(1);
    assert_eq!(bench.keys.next_wake(), Some(bench.now + RULES.lease));
    bench.pass(6.0);
    assert!(bench.keys.extend("a", late.token, None, bench.now));
    bench.pass(6.0);
    assert!(bench.take().is_none());
    bench.pass(5.0);
    let again = bench.take_is(1);
    assert_eq!((again.attempt, again.unanswered), (2, 1));
    assert!(!bench.answer(&late, Answer::Done) && !bench.keys.extend("a", late.token, None, bench.now));
    assert!(bench.answer(&again, Answer::Dropped));
    let third = bench.take_is(1);
    assert_eq!((third.attempt, third.unanswered), (3, 2));
    assert!(bench.answer(&third, Answer::Again(Some(Duration::ZERO))));
    assert_eq!(bench.take_is(1).unanswered, 0);
    assert!(bench.did().is_empty(), "it never left us");
}

#[test]
fn what_is_given_back_is_awaited_before_its_followers() {
    let mut bench = Bench::new();
    (1..=3).for_each(|n| bench.arrive("a", n));
    let one = bench.take_is(1);
    assert!(bench.answer(&one, Answer::Back));
    assert_eq!(bench.did(), [Did::Nack(1), Did::Nack(2), Did::Nack(3)]);
    bench.arrive("a", 4);
    assert_eq!(bench.did(), [Did::Nack(4)]);
    assert!(bench.take().is_none());
    (1..=4).for_each(|n| bench.arrive("a", n));
    for n in 1..=4 {
        let out = bench.take_is(n);
        assert!(bench.answer(&out, Answer::Done));
    }
    // Another consumer may have got it: it is not awaited for ever.
    bench.arrive("a", 5);
    let five = bench.take_is(5);
    assert!(bench.answer(&five, Answer::Back));
    bench.pass(11.0);
    bench.arrive("a", 6);
    bench.take_is(6);
}

#[test]
fn of_a_long_queue_the_tail_goes_back() {
    let mut bench = Bench::new();
    (1..=7).for_each(|n| bench.arrive("a", n));
    assert_eq!(bench.did(), [Did::Nack(5), Did::Nack(6), Did::Nack(7)]);
    for n in 1..=4 {
        let out = bench.take_is(n);
        assert!(bench.answer(&out, Answer::Done));
    }
    bench.arrive("a", 6);
    assert_eq!(bench.did().last(), Some(&Did::Nack(6)), "5 is still to come");
    (5..=7).for_each(|n| bench.arrive("a", n));
    for n in 5..=7 {
        let out = bench.take_is(n);
        assert!(bench.answer(&out, Answer::Done));
    }
    assert!(bench.keys.keys.is_empty());
}

#[test]
fn a_message_that_comes_twice_is_taken_once() {
    let mut bench = Bench::new();
    bench.arrive("a", 1);
    let out = bench.take_is(1);
    bench.arrive("a", 1);
    assert!(bench.take().is_none());
    assert!(bench.answer(&out, Answer::Done));
    assert_eq!(bench.did(), [Did::Ack(1), Did::Ack(1)]);
    assert!(bench.take().is_none());
    // No more holds are kept than can be good.
    bench.arrive("a", 2);
    (0..6).for_each(|_| bench.arrive("a", 2));
    assert_eq!(bench.did(), vec![Did::Nack(2); 3]);
}

#[test]
fn no_more_are_out_than_may_be() {
    let mut bench = Bench::new();
    (1..=4).for_each(|n| bench.arrive(&n.to_string(), n));
    let one = bench.take_is(1);
    bench.take_is(2);
    bench.take_is(3);
    assert!(bench.take().is_none());
    assert!(bench.answer(&one, Answer::Again(None)));
    bench.take_is(4);
}

#[test]
fn a_closed_one_keeps_what_is_out_and_what_follows_it() {
    let mut bench = Bench::new();
    (1..=2).for_each(|n| bench.arrive("a", n));
    (3..=4).for_each(|n| bench.arrive("b", n));
    bench.arrive("c", 5);
    let (one, three) = (bench.take_is(1), bench.take_is(3));
    bench.keys.close(bench.now);
    assert_eq!(bench.did(), [Did::Nack(5)]);
    assert!(bench.take().is_none());
    assert!(bench.answer(&one, Answer::Done));
    assert_eq!(bench.did(), [Did::Ack(1), Did::Nack(2)]);
    assert!(bench.answer(&three, Answer::Again(None)));
    assert_eq!(bench.did(), [Did::Nack(3), Did::Nack(4)]);
    bench.arrive("d", 6);
    assert_eq!(bench.did(), [Did::Nack(6)]);
    assert!(bench.keys.keys.is_empty());
}

/// The strictest bus that Pub/Sub may be: it hands over ahead, in order, and takes back; it may repeat what it handed over.
/// `appends`: as the emulator, it puts what it takes back behind what it has not delivered.
#[test]
fn of_each_key_all_come_in_order_whatever_happens() {
    for seed in 0..300 {
        one_history(seed, seed % 2 == 0);
    }
}

fn one_history(seed: u64, appends: bool) {
    const KEYS: u32 = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new();
    let mut waiting: Vec<VecDeque<u32>> = vec![VecDeque::new(); KEYS as usize];
    let mut out: Vec<Out<u32>> = Vec::new();
    let mut done: Vec<u32> = vec![0; KEYS as usize];
    let mut published = vec![0_u32; KEYS as usize];
    // A message's number is 1000 times its place in its key, and its key.
    for step in 0..4_000 {
        let ends = step > 400;
        let key = random.usize(..KEYS as usize);
        match random.u8(..12) {
            0..=2 if !ends => {
                published[key] += 1;
                waiting[key].push_back(published[key] * 1000 + key as u32);
            }
            3..=5 => {
                if let Some(n) = waiting[key].pop_front() {
                    bench.arrive(&key.to_string(), n);
                    if random.u8(..10) == 0 {
                        bench.arrive(&key.to_string(), n);
                    }
                }
            }
            6..=7 => out.extend(bench.take()),
            8..=10 if !out.is_empty() => {
                let chosen = out.swap_remove(random.usize(..out.len()));
                let answer = match random.u8(..6) {
                    _ if ends => Answer::Done,
                    0..=2 => Answer::Done,
                    3 => Answer::Again(Some(Duration::from_millis(100))),
                    4 => Answer::Back,
                    _ => Answer::Dropped,
                };
                let of_key = (chosen.message % 1000) as usize;
                if bench.answer(&chosen, answer) && answer == Answer::Done {
                    assert_eq!(chosen.message / 1000, done[of_key] + 1, "seed {seed}");
                    done[of_key] += 1;
                }
            }
            // Little enough for no guard to end before what it waits for has come.
            11 => bench.pass(0.05),
            _ => {}
        }
        // The bus takes back.
        let mut back: Vec<u32> =
            bench.did().into_iter().filter_map(|did| if let Did::Nack(n) = did { Some(n) } else { None }).collect();
        back.dedup();
        let take_back = |n: u32, waiting: &mut Vec<VecDeque<u32>>| {
            let queue = &mut waiting[(n % 1000) as usize];
            queue.retain(|other| *other != n);
            if appends {
                queue.push_back(n);
            } else {
                let at = queue.iter().position(|other| *other > n).unwrap_or(queue.len());
                queue.insert(at, n);
            }
        };
        back.into_iter().for_each(|n| take_back(n, &mut waiting));
    }
    assert_eq!(done, published, "seed {seed}: all are done");
}
