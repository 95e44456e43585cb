use std::{future::poll_fn, pin::pin, task::Poll};

use super::*;

fn bounds() -> Bounds {
    Bounds {
        short: 2,
        long: 2,
        long_per_user: 1,
        per_user: 2,
        paused: 2,
        away: 1,
        waiting: 4,
        waiting_per_user: 2,
    }
}

fn who(user: i64) -> Who {
    UserId::new(user)
}

/// What the future gives if it gives it at once.
async fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

async fn turn(turns: &Arc<Turns>, user: i64) -> Turn {
    now(turns.wait(who(user))).await.unwrap().unwrap()
}

type Queued<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Turn, Refused>> + Send + 'a>>;

/// Someone in the queue.
async fn queued(turns: &Arc<Turns>, user: i64) -> Queued<'_> {
    let mut waiting: Queued<'_> = Box::pin(turns.wait(who(user)));
    assert!(now(&mut waiting).await.is_none());
    waiting
}

#[tokio::test]
async fn so_many_run_at_once_and_the_next_begins_when_one_ends() {
    let turns = Turns::new(bounds());
    let (first, _second) = (turn(&turns, 1).await, turn(&turns, 2).await);
    let mut third = queued(&turns, 3).await;
    drop(first);
    assert!(matches!(now(&mut third).await, Some(Ok(_))));
}

#[tokio::test]
async fn users_take_turns_however_many_calls_each_has() {
    let turns = Turns::new(bounds());
    let running = (turn(&turns, 9).await, turn(&turns, 9).await);
    let mut queue = [
        queued(&turns, 1).await,
        queued(&turns, 1).await,
        queued(&turns, 2).await,
    ];
    drop(running.0);
    let [first, second, other] = &mut queue;
    let _first = now(first).await.unwrap().unwrap();
    drop(running.1);
    assert!(now(second).await.is_none());
    assert!(now(other).await.is_some());
}

#[tokio::test]
async fn a_user_gets_no_more_than_a_share() {
    let turns = Turns::new(Bounds {
        short: 4,
        ..bounds()
    });
    let running = (turn(&turns, 1).await, turn(&turns, 1).await);
    let mut third = queued(&turns, 1).await;
    let _other = turn(&turns, 2).await;
    drop(running.0);
    assert!(now(&mut third).await.is_some());
}

#[tokio::test]
async fn too_many_who_wait_are_refused() {
    let turns = Turns::new(bounds());
    let _running = (turn(&turns, 1).await, turn(&turns, 2).await);
    let mut queue = vec![queued(&turns, 3).await, queued(&turns, 3).await];
    let refused = |user| {
        let turns = &turns;
        async move { matches!(now(turns.wait(who(user))).await, Some(Err(Refused::Full))) }
    };
    assert!(refused(3).await, "more than one user's share");
    queue.extend([queued(&turns, 4).await, queued(&turns, 5).await]);
    assert!(refused(6).await, "more than all may");
    queue.pop();
    queue.push(queued(&turns, 6).await);
    assert_eq!(turns.counts().waiting, 4);
}

#[tokio::test]
async fn who_gives_up_is_passed_over() {
    let turns = Turns::new(bounds());
    let (first, _second) = (turn(&turns, 1).await, turn(&turns, 2).await);
    let given_up = queued(&turns, 3).await;
    let mut next = queued(&turns, 4).await;
    drop(given_up);
    drop(first);
    assert!(now(&mut next).await.is_some());
}

#[tokio::test]
async fn a_turn_that_was_given_but_never_taken_is_handed_out_again() {
    let turns = Turns::new(bounds());
    let (first, _second) = (turn(&turns, 1).await, turn(&turns, 2).await);
    let given_up = queued(&turns, 3).await;
    drop(first);
    let mut next = queued(&turns, 4).await;
    drop(given_up);
    assert!(now(&mut next).await.is_some());
}

#[tokio::test]
async fn a_demoted_call_makes_room_for_a_short_one() {
    let turns = Turns::new(bounds());
    let (mut first, _second) = (turn(&turns, 1).await, turn(&turns, 2).await);
    let mut next = queued(&turns, 3).await;
    assert_eq!(first.demote(), Ok(true));
    assert!(first.is_long());
    assert!(now(&mut next).await.is_some());
}

#[tokio::test]
async fn a_second_long_call_of_a_user_pauses_until_the_first_has_ended() {
    let turns = Turns::new(bounds());
    let (mut first, mut second) = (turn(&turns, 1).await, turn(&turns, 1).await);
    assert_eq!(first.demote(), Ok(true));
    assert_eq!(second.demote(), Ok(false));
    assert_eq!(turns.counts().paused, 1);
    assert!(now(second.resumed()).await.is_none());
    drop(first);
    assert_eq!(now(second.resumed()).await, Some(Ok(())));
    drop(second);
    assert_eq!(turns.counts(), Counts::default());
}

#[tokio::test]
async fn calls_are_suspect_while_a_call_of_the_same_user_is_a_long_one() {
    let turns = Turns::new(bounds());
    let mut long = turn(&turns, 1).await;
    assert!(!long.is_suspect());
    assert_eq!(long.demote(), Ok(true));
    assert!(turn(&turns, 1).await.is_suspect());
    assert!(!turn(&turns, 2).await.is_suspect());
    drop(long);
    assert!(!turn(&turns, 1).await.is_suspect());
}

#[tokio::test]
async fn ending_a_paused_call_keeps_the_books_right() {
    let turns = Turns::new(bounds());
    for resumed in [false, true] {
        let (mut first, mut second) = (turn(&turns, 1).await, turn(&turns, 1).await);
        assert_eq!(first.demote(), Ok(true));
        assert_eq!(second.demote(), Ok(false));
        if resumed {
            // It has the place now, and doesn't know it yet.
            drop(first);
            drop(second);
        } else {
            drop(second);
            drop(first);
        }
        assert_eq!(turns.counts(), Counts::default());
    }
    let mut again = turn(&turns, 1).await;
    assert_eq!(again.demote(), Ok(true));
}

#[tokio::test]
async fn when_too_many_pause_the_user_with_most_of_them_loses_one() {
    let turns = Turns::new(Bounds {
        short: 9,
        per_user: 9,
        ..bounds()
    });
    let mut greedy = Vec::new();
    for _ in 0..4 {
        greedy.push(turn(&turns, 1).await);
    }
    let demoted: Vec<_> = greedy.iter_mut().map(Turn::demote).collect();
    assert_eq!(
        demoted,
        [Ok(true), Ok(false), Ok(false), Err(Refused::Full)]
    );
    let mut modest = (turn(&turns, 2).await, turn(&turns, 2).await);
    assert_eq!(modest.0.demote(), Ok(true));
    assert_eq!(modest.1.demote(), Ok(false));
    assert_eq!(now(greedy[2].resumed()).await, Some(Err(Refused::Full)));
    assert_eq!(now(greedy[1].resumed()).await, None);
}

#[tokio::test]
async fn waiting_for_a_service_gives_up_the_place_within_bounds() {
    let turns = Turns::new(bounds());
    let (mut first, mut second) = (turn(&turns, 1).await, turn(&turns, 2).await);
    first.leave();
    second.leave();
    let third = turn(&turns, 3).await;
    assert!(
        now(turns.wait(who(4))).await.is_none(),
        "only one may be away"
    );
    first.come_back();
    assert_eq!(turns.counts().begun, 3);
    drop(third);
    drop((first, second));
    assert_eq!(turns.counts(), Counts::default());
}

#[tokio::test]
async fn after_closing_nothing_begins_and_what_runs_is_waited_for() {
    let turns = Turns::new(bounds());
    let running = (turn(&turns, 1).await, turn(&turns, 2).await);
    let mut waiting = queued(&turns, 3).await;
    turns.close();
    assert!(matches!(
        now(&mut waiting).await,
        Some(Err(Refused::Closed))
    ));
    assert!(matches!(
        now(turns.wait(who(4))).await,
        Some(Err(Refused::Closed))
    ));
    let mut empty = Box::pin(turns.empty());
    assert!(now(&mut empty).await.is_none());
    drop(running);
    assert!(now(&mut empty).await.is_some());
}
