//! What every store must do. Each case gets an empty one.

use peerage_ledger::Origin;
use peerage_replica::{Digest, LogRow, Vector, VerifiedRow};
use peerage_store::{Counts, LogPage, Store, StoreError};
use peerage_types::limits::{ACCOUNT_METAINFO_BYTES_MAX, METAINFO_BYTES_MAX};
use peerage_types::{GroupId, MetainfoId, RecordId, Scope, Stamp};

use crate::rows::{certificate, device, genesis, group, join, name, origin, row, user, user_name};

/// A name and what to do with an empty store.
type Case = (&'static str, fn(&dyn Store));

/// All cases.
pub const CASES: &[Case] = &[
    ("starts_empty", starts_empty),
    ("log_comes_back_as_it_went_in", log_comes_back_as_it_went_in),
    ("rows_after_is_contiguous_and_limited", rows_after_is_contiguous_and_limited),
    ("append_is_atomic_and_idempotent", append_is_atomic_and_idempotent),
    ("lowest_receipt_counts", lowest_receipt_counts),
    ("scopes_are_apart", scopes_are_apart),
    ("digest_depends_on_facts_only", digest_depends_on_facts_only),
    ("names_ignore_case", names_ignore_case),
    ("groups_come_in_pages", groups_come_in_pages),
    ("devices_find_their_accounts", devices_find_their_accounts),
    ("metainfo_has_a_quota", metainfo_has_a_quota),
    ("meta_is_replaced", meta_is_replaced),
    ("kept_rows_leave_the_vector_alone", kept_rows_leave_the_vector_alone),
];

fn seqs(rows: &[LogRow]) -> Vec<(u8, u64)> {
    rows.iter().map(|row| (row.receipt.origin.tracker.0[0], row.receipt.seq)).collect()
}

fn log_rows(rows: &[VerifiedRow]) -> Vec<LogRow> {
    rows.iter().map(VerifiedRow::row).collect()
}

fn page(rows: &[VerifiedRow]) -> LogPage {
    LogPage { rows: log_rows(rows), ..LogPage::default() }
}

fn starts_empty(store: &dyn Store) {
    assert!(store.vector().unwrap().is_empty());
    assert_eq!(store.last_stamp().unwrap(), Stamp(0));
    assert_eq!(store.rows_after(&Vector::new(), 10, 1_000).unwrap(), LogPage::default());
    let scope = Scope::Account(user(1));
    assert!(store.scope(&scope).unwrap().is_empty());
    assert_eq!(store.scope_digest(&scope).unwrap(), Digest::EMPTY);
    assert!(store.scope_digests(None, 10).unwrap().is_empty());
    assert_eq!(store.root_digest().unwrap(), Digest::EMPTY);
    assert_eq!(store.counts().unwrap(), Counts::default());
    assert_eq!(store.record(&RecordId([1; 32])).unwrap(), None);
    assert!(store.groups(None, 10).unwrap().is_empty());
}

fn log_comes_back_as_it_went_in(store: &dyn Store) {
    let rows = [
        row(origin(1), 1, u64::MAX - 1, &genesis(1)),
        row(origin(1), 2, u64::MAX, &user_name(1, "Ada")),
        row(origin(2), 1, 7, &genesis(2)),
    ];
    store.append(&rows, Stamp(u64::MAX)).unwrap();
    assert_eq!(store.last_stamp().unwrap(), Stamp(u64::MAX));
    assert_eq!(store.vector().unwrap(), [(origin(1), 2), (origin(2), 1)].into_iter().collect());
    assert_eq!(store.rows_after(&Vector::new(), 10, 9_999).unwrap(), page(&rows));
    assert_eq!(store.record(&genesis(2).id()).unwrap(), Some(rows[2].row()));
    let ids = [genesis(1).id(), RecordId([3; 32]), genesis(2).id()];
    assert_eq!(store.has_records(&ids).unwrap(), [true, false, true]);
    // The clock also moves without rows.
    store.append(&[], Stamp(3)).unwrap();
    assert_eq!(store.last_stamp().unwrap(), Stamp(3));
}

fn rows_after_is_contiguous_and_limited(store: &dyn Store) {
    let mut rows = Vec::new();
    for seq in 1..=5 {
        rows.push(row(origin(1), seq, seq, &genesis(seq as u8)));
        rows.push(row(origin(2), seq, seq, &genesis(10 + seq as u8)));
    }
    store.append(&rows, Stamp(5)).unwrap();
    let ask = |vector: &[(Origin, u64)], rows, bytes| {
        let vector = vector.iter().copied().collect();
        let LogPage { rows, more, .. } = store.rows_after(&vector, rows, bytes).unwrap();
        (seqs(&rows), more)
    };
    assert_eq!(ask(&[(origin(1), 3), (origin(2), 4)], 10, 99_999), (vec![(1, 4), (1, 5), (2, 5)], false));
    assert_eq!(ask(&[(origin(1), 3), (origin(2), 4)], 3, 99_999), (vec![(1, 4), (1, 5), (2, 5)], false));
    assert_eq!(ask(&[(origin(1), 3)], 3, 99_999), (vec![(1, 4), (1, 5), (2, 1)], true));
    // A single row is never too large.
    assert_eq!(ask(&[(origin(1), 5)], 10, 1), (vec![(2, 1)], true));
    assert_eq!(ask(&[(origin(1), 5)], 0, 99_999), (vec![(2, 1)], true));
    // Someone may be ahead of us, and know origins that we do not.
    assert_eq!(ask(&[(origin(1), 9), (origin(2), 5), (origin(3), 2)], 10, 99_999), (vec![], false));
    // Asking on with what came reaches the end.
    let (mut vector, mut seen) = (Vector::new(), 0);
    loop {
        let LogPage { rows, more, .. } = store.rows_after(&vector, 2, 99_999).unwrap();
        for row in &rows {
            assert_eq!(row.receipt.seq, vector.get(&row.receipt.origin) + 1);
            vector.raise(row.receipt.origin, row.receipt.seq);
        }
        seen += rows.len();
        if !more {
            break;
        }
    }
    assert_eq!((seen, vector), (10, store.vector().unwrap()));
}

fn append_is_atomic_and_idempotent(store: &dyn Store) {
    let first = [row(origin(1), 1, 1, &genesis(1)), row(origin(1), 2, 2, &user_name(1, "ada"))];
    store.append(&first, Stamp(2)).unwrap();
    let state =
        || (store.vector().unwrap(), store.last_stamp().unwrap(), store.scope_digests(None, 9).unwrap());
    let before = state();
    let gap = [row(origin(1), 3, 3, &genesis(3)), row(origin(1), 5, 5, &user_name(3, "bob"))];
    match store.append(&gap, Stamp(5)) {
        Err(StoreError::Gap { expected: 4, got: 5, .. }) => {}
        other => panic!("expected a gap, got {other:?}"),
    }
    let conflict = [row(origin(1), 3, 3, &genesis(3)), row(origin(1), 2, 2, &user_name(3, "bob"))];
    match store.append(&conflict, Stamp(5)) {
        Err(StoreError::Conflict { seq: 2, ours, theirs, .. }) => {
            assert_eq!((ours, theirs), (user_name(1, "ada").id(), user_name(3, "bob").id()));
        }
        other => panic!("expected a conflict, got {other:?}"),
    }
    assert_eq!(state(), before);
    assert!(store.user_claims(&name("bob").folded()).unwrap().is_empty());
    store.append(&first, Stamp(2)).unwrap();
    assert_eq!(state(), before);
    let overlapping = [first[1].clone(), row(origin(1), 3, 3, &genesis(3))];
    store.append(&overlapping, Stamp(3)).unwrap();
    assert_eq!(store.vector().unwrap().get(&origin(1)), 3);
}

fn lowest_receipt_counts(store: &dyn Store) {
    let claim = user_name(1, "ada");
    let rows = [
        row(origin(2), 1, 50, &claim),
        row(origin(3), 1, 60, &claim),
        row(origin(1), 1, 50, &claim),
        row(origin(1), 2, 51, &claim),
    ];
    for (appended, lowest) in rows.iter().zip([0, 0, 2, 2]) {
        store.append(std::slice::from_ref(appended), Stamp(60)).unwrap();
        let expected = rows[lowest].row();
        assert_eq!(store.record(&claim.id()).unwrap(), Some(expected.clone()));
        assert_eq!(store.scope(&claim.scope()).unwrap(), std::slice::from_ref(&expected));
        let claims = store.user_claims(&name("ada").folded()).unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].order, expected.receipt.order());
        let mut digest = Digest::EMPTY;
        digest.add(&claim.id(), &expected.receipt.order());
        assert_eq!(store.scope_digest(&claim.scope()).unwrap(), digest);
    }
    // All receipts stay in the log.
    assert_eq!(store.rows_after(&Vector::new(), 9, 9_999).unwrap().rows.len(), 4);
}

fn scopes_are_apart(store: &dyn Store) {
    let founded = group(1, "lab", None);
    let id = GroupId::from(founded.id());
    let records = [genesis(1), founded.clone(), join(2, id, 1), genesis(2), join(2, id, 2)];
    let rows: Vec<_> = records.iter().zip(1..).map(|(r, n)| row(origin(1), n, n, r)).collect();
    store.append(&rows, Stamp(9)).unwrap();
    let scope =
        |scope| seqs(&store.scope(&scope).unwrap()).into_iter().map(|(_, seq)| seq).collect::<Vec<_>>();
    assert_eq!(scope(Scope::Account(user(1))), [1]);
    assert_eq!(scope(Scope::Account(user(2))), [4]);
    // A genesis belongs to the group that it founds.
    assert_eq!(scope(Scope::Group(id)), [2, 3, 5]);
    assert_eq!(scope(Scope::Group(GroupId([0; 32]))), [0; 0]);
    assert_eq!(store.groups_of_user(&user(2)).unwrap(), [id]);
    assert_eq!(store.groups_of_user(&user(3)).unwrap(), []);
}

fn digest_depends_on_facts_only(store: &dyn Store) {
    let rows = [
        row(origin(1), 1, 1, &genesis(1)),
        row(origin(2), 1, 2, &user_name(1, "ada")),
        row(origin(3), 1, 0, &genesis(1)),
        row(origin(2), 2, 3, &genesis(2)),
    ];
    let mut expected = Digest::EMPTY;
    expected.add(&genesis(1).id(), &rows[2].receipt().order());
    expected.add(&user_name(1, "ada").id(), &rows[1].receipt().order());
    for row in &rows {
        store.append(std::slice::from_ref(row), Stamp(9)).unwrap();
    }
    assert_eq!(store.scope_digest(&Scope::Account(user(1))).unwrap(), expected);
    let all = store.scope_digests(None, 9).unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.is_sorted_by_key(|(scope, _)| *scope));
    assert!(all.contains(&(Scope::Account(user(1)), expected)));
    assert_eq!(store.scope_digests(None, 1).unwrap(), all[..1]);
    let mut root = Digest::EMPTY;
    all.iter().for_each(|(_, digest)| root.merge(digest));
    assert_eq!(store.root_digest().unwrap(), root);
    let counts = store.counts().unwrap();
    assert_eq!((counts.rows, counts.scopes), (rows.len() as u64, 2));
    assert_eq!(store.scope_digests(Some(&all[0].0), 9).unwrap(), all[1..]);
}

fn names_ignore_case(store: &dyn Store) {
    let (first, second, other) = (user_name(1, "Ada"), user_name(2, "aDA"), user_name(3, "adam"));
    let rows = [
        row(origin(1), 1, 9, &second),
        row(origin(2), 1, 5, &first),
        row(origin(2), 2, 6, &other),
        row(origin(2), 3, 7, &group(1, "ADA", None)),
    ];
    store.append(&rows, Stamp(9)).unwrap();
    let claims = |text| -> Vec<_> {
        store.user_claims(&name(text).folded()).unwrap().iter().map(|claim| (claim.user, claim.id)).collect()
    };
    assert_eq!(claims("ADA"), [(user(1), first.id()), (user(2), second.id())]);
    assert_eq!(claims("Adam"), [(user(3), other.id())]);
    assert_eq!(claims("a"), []);
    let groups = store.group_claims(&name("ada").folded()).unwrap();
    assert_eq!(groups.iter().map(|claim| claim.genesis).collect::<Vec<_>>(), [group(1, "ADA", None).id()]);
}

fn groups_come_in_pages(store: &dyn Store) {
    let old = group(1, "beta", None);
    let next = group(2, "Beta", Some(RecordId([7; 32])));
    let records = [group(3, "gamma", None), old.clone(), group(4, "Alpha", None), next.clone()];
    let rows: Vec<_> = records.iter().zip(1..).map(|(r, n)| row(origin(1), n, n, r)).collect();
    store.append(&rows, Stamp(9)).unwrap();
    let page = |after: Option<&str>, limit| -> Vec<(String, usize)> {
        let after = after.map(|text| name(text).folded());
        let groups = store.groups(after.as_ref(), limit).unwrap();
        groups.into_iter().map(|(name, claims)| (name.as_str().to_owned(), claims.len())).collect()
    };
    let all = [("alpha".to_owned(), 1), ("beta".to_owned(), 2), ("gamma".to_owned(), 1)];
    assert_eq!(page(None, 99), all);
    assert_eq!(page(None, 2), all[..2]);
    assert_eq!(page(Some("Beta"), 2), all[2..]);
    let claims = store.group_claims(&name("beta").folded()).unwrap();
    let chain: Vec<_> = claims.iter().map(|claim| (claim.genesis, claim.after)).collect();
    assert_eq!(chain, [(old.id(), None), (next.id(), Some(RecordId([7; 32])))]);
}

fn devices_find_their_accounts(store: &dyn Store) {
    // A device that two accounts certified: the earlier one first, whatever arrived first.
    let rows = [
        row(origin(1), 1, 9, &certificate(1, 5)),
        row(origin(2), 1, 4, &certificate(2, 5)),
        row(origin(2), 2, 5, &certificate(2, 6)),
    ];
    store.append(&rows, Stamp(9)).unwrap();
    assert_eq!(store.users_of_device(&device(5)).unwrap(), [user(2), user(1)]);
    assert_eq!(store.users_of_device(&device(6)).unwrap(), [user(2)]);
    assert_eq!(store.users_of_device(&device(7)).unwrap(), []);
}

fn metainfo_has_a_quota(store: &dyn Store) {
    let id = |n: u64| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_le_bytes());
        MetainfoId(id)
    };
    assert_eq!(store.metainfo(&id(0)).unwrap(), None);
    assert!(!store.has_metainfo(&id(0)).unwrap());
    store.put_metainfo(id(0), user(1), b"d4:infoe").unwrap();
    assert_eq!(store.metainfo(&id(0)).unwrap().as_deref(), Some(&b"d4:infoe"[..]));
    assert!(store.has_metainfo(&id(0)).unwrap());
    // Once is enough, whoever brings it.
    store.put_metainfo(id(0), user(2), b"d4:infoe").unwrap();
    assert_eq!(store.metainfo_bytes_of(&user(1)).unwrap(), 8);
    assert_eq!(store.metainfo_bytes_of(&user(2)).unwrap(), 0);

    let large = vec![0; METAINFO_BYTES_MAX + 1];
    match store.put_metainfo(id(1), user(1), &large) {
        Err(StoreError::TooLarge { bytes }) => assert_eq!(bytes, large.len()),
        other => panic!("expected TooLarge, got {other:?}"),
    }
    let chunk = &large[..METAINFO_BYTES_MAX];
    let fit = ACCOUNT_METAINFO_BYTES_MAX / METAINFO_BYTES_MAX as u64;
    for n in 1..fit {
        store.put_metainfo(id(n), user(1), chunk).unwrap();
    }
    match store.put_metainfo(id(fit), user(1), chunk) {
        Err(StoreError::OverQuota { used_bytes, new_bytes, .. }) => {
            assert_eq!(used_bytes + new_bytes, ACCOUNT_METAINFO_BYTES_MAX + 8);
        }
        other => panic!("expected OverQuota, got {other:?}"),
    }
    assert_eq!(store.metainfo(&id(fit)).unwrap(), None);
    store.put_metainfo(id(fit), user(2), b"another account's").unwrap();
}

fn meta_is_replaced(store: &dyn Store) {
    assert_eq!(store.meta("tracker").unwrap(), None);
    store.set_meta("tracker", b"one").unwrap();
    store.set_meta("other", b"").unwrap();
    store.set_meta("tracker", b"two").unwrap();
    assert_eq!(store.meta("tracker").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(store.meta("other").unwrap().as_deref(), Some(&b""[..]));
}

fn kept_rows_leave_the_vector_alone(store: &dyn Store) {
    let rows = [
        row(origin(1), 1, 1, &genesis(1)),
        row(origin(1), 2, 2, &user_name(1, "ada")),
        row(origin(2), 7, 1, &user_name(1, "ada")),
    ];
    store.append(&rows[..1], Stamp(1)).unwrap();
    for _ in 0..2 {
        store.keep(&rows).unwrap();
        assert_eq!(store.vector().unwrap(), [(origin(1), 1)].into_iter().collect());
        assert_eq!(store.rows_after(&Vector::new(), 9, 9_999).unwrap(), page(&rows[..1]));
        let facts = store.facts(&Scope::Account(user(1)), None).unwrap().0;
        let places: Vec<_> = facts.iter().map(|(_, place)| (place.origin, place.seq)).collect();
        assert!(places.len() == 2 && places.contains(&(origin(2), 7)), "{places:?}");
        assert_eq!(store.scrub(None).unwrap(), (None, 0));
    }
    // In its turn it is appended like any other.
    store.append(&rows[1..2], Stamp(2)).unwrap();
    assert_eq!(store.vector().unwrap(), [(origin(1), 2)].into_iter().collect());
    assert_eq!(store.floors().unwrap(), Vector::new());
    store.adopt(&[(origin(1), 1), (origin(2), 7)].into_iter().collect()).unwrap();
    assert_eq!(store.floors().unwrap(), [(origin(2), 7)].into_iter().collect());
    assert_eq!(store.vector().unwrap(), [(origin(1), 2), (origin(2), 7)].into_iter().collect());
}
