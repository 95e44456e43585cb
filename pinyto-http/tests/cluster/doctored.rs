//! The checker finds what is wrong: journals and observations that don't fit.

use std::collections::BTreeSet;

use super::{
    checker::{JobTrouble, KINDS, Observed, Violation, check, lapsed, missing},
    journal::{Candidate, Fate, Journal, KeyState, Known, Passwords},
    witness::{Event, What},
};

fn text(text: &str) -> String {
    text.to_owned()
}

/// A run that went well, and what its client knows.
fn honest() -> (Journal, Observed) {
    let mut journal = Journal {
        user: text("ann"),
        ..Journal::default()
    };
    let mut observed = Observed::default();
    let documents = [
        ("1", Known::certain(Some(text("one")))),
        ("2", Known::certain(Some(text("two")))),
        ("3", Known::certain(None)),
    ];
    journal
        .documents
        .extend(documents.map(|(id, known)| (text(id), known)));
    journal.attempted.insert(text("perhaps"));
    journal
        .keys
        .insert(text("aa"), Known::certain(KeyState::Active));
    journal
        .keys
        .insert(text("bb"), Known::certain(KeyState::Absent));
    let passwords = Passwords {
        now: Known::certain(text("new")),
        all: [text("old"), text("new")].into(),
    };
    journal.passwords.insert(text("web"), passwords);
    observed.passwords.insert(text("web"), [text("new")].into());
    journal.queued.insert(text("d1"));
    for (key_hash, fate) in [
        ("k1", Fate::Acknowledged),
        ("k2", Fate::Refused),
        ("k3", Fate::Unknown),
    ] {
        journal.candidates.push(Candidate {
            name: text("race"),
            key_hash: text(key_hash),
            fate,
        });
    }
    let documents = [("1", "one"), ("2", "two"), ("9", "perhaps")];
    let documents = documents.map(|(id, data)| (text(id), text(data)));
    observed.documents.insert(text("ann"), documents.into());
    observed
        .keys
        .insert(text("ann"), [(text("aa"), true)].into());
    observed.owners.insert(text("race"), vec![text("k1")]);
    observed.events = vec![
        event(What::Planned, "", 0, 0),
        event(What::Claimed, "L1", 10, 20),
        event(What::Ran, "", 0, 0),
        event(What::Extended, "L1", 10, 30),
        // Its server has died.
        event(What::Claimed, "L2", 30, 40),
        event(What::Ran, "", 0, 0),
        event(What::Completed, "L2", 30, 40),
    ];
    (journal, observed)
}

fn event(what: What, lease: &str, at: i64, expires: i64) -> Event {
    let is_of_entry = what != What::Ran;
    Event {
        what,
        user: 1,
        job: text("work"),
        entry: i64::from(is_of_entry),
        planned_at: 0,
        lease: text(lease),
        at,
        expires,
        document: is_of_entry.then(|| text("d1")),
    }
}

/// What the checker says after this was done to an honest run.
fn found(doctor: impl FnOnce(&mut Journal, &mut Observed)) -> Vec<Violation> {
    let (mut journal, mut observed) = honest();
    doctor(&mut journal, &mut observed);
    check(&[journal], &observed)
}

#[test]
fn an_honest_run_passes() {
    assert_eq!(found(|_, _| ()), []);
}

#[test]
fn a_lost_document_is_found() {
    let lost = found(|_, observed| {
        observed.documents.get_mut("ann").unwrap().remove("1");
    });
    let (user, id) = (text("ann"), text("1"));
    assert_eq!(lost, [Violation::DocumentLost { user, id }]);
}

#[test]
fn a_document_that_says_something_else_or_is_back_is_found() {
    for id in ["2", "3"] {
        let changed = found(|_, observed| {
            let documents = observed.documents.get_mut("ann").unwrap();
            documents.insert(text(id), text("else"));
        });
        let (user, id, found) = (text("ann"), text(id), Some(text("else")));
        assert_eq!(changed, [Violation::DocumentChanged { user, id, found }]);
    }
}

#[test]
fn documents_that_nobody_stored_or_that_came_twice_are_found() {
    let appeared = |data: &str| {
        found(|_, observed| {
            let documents = observed.documents.get_mut("ann").unwrap();
            documents.insert(text("99"), text(data));
        })
    };
    let user = || text("ann");
    let (id, nowhere) = (text("99"), text("nowhere"));
    let wrong = Violation::DocumentFromNowhere {
        user: user(),
        id,
        found: nowhere,
    };
    assert_eq!(appeared("nowhere"), [wrong]);
    let wrong = Violation::StoredTwice {
        user: user(),
        data: text("perhaps"),
    };
    assert_eq!(appeared("perhaps"), [wrong]);
}

#[test]
fn what_had_no_answer_may_be_either_way_but_no_third() {
    let doubtful = |data: &str| {
        found(|journal, observed| {
            journal
                .documents
                .get_mut("1")
                .unwrap()
                .may_be(Some(text("new")));
            let documents = observed.documents.get_mut("ann").unwrap();
            documents.insert(text("1"), text(data));
        })
    };
    assert_eq!(doubtful("one"), []);
    assert_eq!(doubtful("new"), []);
    assert_eq!(doubtful("third").len(), 1);
}

#[test]
fn keys_that_are_otherwise_than_acknowledged_are_found() {
    let with = |keys: &[(&str, bool)]| {
        let wrong = found(|_, observed| {
            let keys = keys.iter().map(|(hash, active)| (text(hash), *active));
            observed.keys.insert(text("ann"), keys.collect());
        });
        let states = wrong.into_iter().map(|one| match one {
            Violation::KeyIs { found, .. } => found,
            other => panic!("{other:?}"),
        });
        states.collect::<Vec<_>>()
    };
    assert_eq!(with(&[]), [KeyState::Absent]);
    assert_eq!(with(&[("aa", false)]), [KeyState::Inactive]);
    assert_eq!(with(&[("aa", true), ("bb", true)]), [KeyState::Active]);
}

#[test]
fn an_account_is_opened_by_the_acknowledged_password_only() {
    for open in [&["old"][..], &["old", "new"], &[]] {
        let open: BTreeSet<String> = open.iter().map(|one| text(one)).collect();
        let wrong = found(|_, observed| {
            observed.passwords.insert(text("web"), open.clone());
        });
        let (user, found) = (text("web"), open);
        assert_eq!(wrong, [Violation::PasswordsAre { user, found }]);
    }
}

#[test]
fn a_name_has_exactly_the_owner_who_was_told_so() {
    let owned_by = |owners: &[&str]| {
        found(|_, observed| {
            let owners = owners.iter().map(|owner| text(owner)).collect();
            observed.owners.insert(text("race"), owners);
        })
    };
    let name = || text("race");
    assert_eq!(owned_by(&[]), [Violation::NoOwner { name: name() }]);
    assert_eq!(owned_by(&["k3"]), [Violation::WrongOwner { name: name() }]);
    let both = owned_by(&["k1", "k3"]);
    assert_eq!(both, [Violation::SeveralOwners { name: name() }]);
    let told = found(|journal, _| journal.candidates[2].fate = Fate::Acknowledged);
    assert_eq!(told, [Violation::SeveralTold { name: name() }]);

    // Nobody was told so.
    let untold = |owner: &[&str]| {
        found(|journal, observed| {
            journal.candidates[0].fate = Fate::Refused;
            let owners = owner.iter().map(|owner| text(owner)).collect();
            observed.owners.insert(text("race"), owners);
        })
    };
    assert_eq!(untold(&["k3"]), []);
    assert_eq!(untold(&[]), []);
    assert_eq!(untold(&["k2"]), [Violation::WrongOwner { name: name() }]);
}

#[test]
fn a_queued_job_that_was_never_planned_or_never_ended_is_found() {
    for length in [0, 4] {
        let lost = found(|_, observed| observed.events.truncate(length));
        let (user, document) = (text("ann"), text("d1"));
        assert_eq!(lost, [Violation::QueuedJobLost { user, document }]);
    }
}

#[test]
fn jobs_that_run_otherwise_than_promised_are_found() {
    let trouble = |doctor: &dyn Fn(&mut Vec<Event>)| {
        let wrong = found(|_, observed| doctor(&mut observed.events));
        let troubles = wrong.into_iter().map(|one| match one {
            Violation::Job { what, .. } => what,
            other => panic!("{other:?}"),
        });
        troubles.collect::<Vec<_>>()
    };
    let overlapping = trouble(&|events| events[4].at = 29);
    assert_eq!(overlapping, [JobTrouble::Overlaps]);
    let once_more = trouble(&|events| events.insert(6, event(What::Ran, "", 0, 0)));
    assert_eq!(once_more, [JobTrouble::RanTwiceInAClaim]);
    let by_nobody = trouble(&|events| events[6].lease = text("L3"));
    assert_eq!(by_nobody, [JobTrouble::EndedWithoutClaim]);
    let again = trouble(&|events| {
        events.push(event(What::Claimed, "L3", 50, 60));
        events.push(event(What::Ran, "", 0, 0));
        events.push(event(What::Completed, "L3", 50, 60));
    });
    let twice = [
        JobTrouble::ClaimedAfterCompletion,
        JobTrouble::CompletedTwice,
    ];
    assert_eq!(again, twice);

    // Without the server that has died.
    let only_claim = |events: &mut Vec<Event>| drop(events.drain(1..4));
    assert_eq!(trouble(&only_claim), []);
    let twice = trouble(&|events| {
        only_claim(events);
        events.insert(3, event(What::Ran, "", 0, 0));
    });
    assert_eq!(twice, [JobTrouble::RanTwiceInAClaim]);
    let never = trouble(&|events| {
        only_claim(events);
        events.remove(2);
    });
    assert_eq!(never, [JobTrouble::CompletedWithoutRun]);
    let afterwards = trouble(&|events| {
        only_claim(events);
        events.push(event(What::Ran, "", 0, 0));
    });
    assert_eq!(afterwards, [JobTrouble::RanWithoutClaim]);
}

#[test]
fn leases_that_expired_are_counted() {
    assert_eq!(lapsed(&honest().1.events), 1);
}

#[test]
fn what_was_never_done_with_success_is_found() {
    let (mut journal, observed) = honest();
    let everything: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(missing(&[journal.clone()], &observed.events), everything);
    let paths = KINDS.iter().map(|(_, paths)| text(paths[0]));
    journal.acknowledged = paths.map(|path| (path, 1)).collect();
    let of = |journal: &Journal, events| missing(&[Journal::default(), journal.clone()], events);
    assert_eq!(of(&journal, &observed.events), [""; 0]);
    journal.acknowledged.remove("/logout");
    assert_eq!(of(&journal, &observed.events), ["log out"]);
    journal.queued.clear();
    let jobs = ["log out", "queue jobs", "run jobs", "complete jobs"];
    assert_eq!(of(&journal, &observed.events[..2]), jobs);
}
