use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::remote::RemoteError;

/// A server in memory: rows in order, a page cap, and edits that strike before the n-th request.
#[derive(Debug, Clone)]
struct Server {
    rows: Vec<u32>,
    cap: usize,
    does_tokens: bool,
    honours_skip: bool,
    edits: Vec<(usize, Edit)>,
    requests: usize,
    asked: Vec<Ask>,
}

#[derive(Debug, Clone)]
enum Edit {
    Delete(usize),
    Insert(usize, u32),
}

impl Server {
    fn new(count: u32, cap: usize) -> Self {
        Self {
            // Gaps leave room for inserted rows; a row's number is its place in the order.
            rows: (0..count).map(|row| row * 1000).collect(),
            cap,
            does_tokens: false,
            honours_skip: true,
            edits: Vec::new(),
            requests: 0,
            asked: Vec::new(),
        }
    }

    fn with_tokens(mut self) -> Self {
        self.does_tokens = true;
        self
    }

    fn answer(&mut self, ask: &Ask) -> Page<u32> {
        self.asked.push(ask.clone());
        let now = self.requests;
        self.requests += 1;
        for (_, edit) in self.edits.iter().filter(|(at, _)| *at == now) {
            match edit {
                Edit::Delete(at) => {
                    if !self.rows.is_empty() {
                        self.rows.remove(at % self.rows.len());
                    }
                }
                Edit::Insert(after, salt) => {
                    let row = if self.rows.is_empty() {
                        0
                    } else {
                        self.rows[after % self.rows.len()]
                    };
                    let row = row + 1 + salt % 900;
                    if let Err(place) = self.rows.binary_search(&row) {
                        self.rows.insert(place, row);
                    }
                }
            }
        }
        let limit = ask.top.unwrap_or(usize::MAX).min(self.cap);
        let start = match &ask.token {
            // The cursor of an honest server: everything behind the last row it gave.
            Some(token) if self.does_tokens && token != INITIAL_TOKEN => {
                let after: u32 = token.parse().unwrap();
                self.rows.partition_point(|row| *row <= after)
            }
            _ if self.honours_skip => ask.skip.unwrap_or(0).min(self.rows.len()),
            _ => 0,
        };
        let end = (start + limit).min(self.rows.len());
        let rows: Vec<u32> = self.rows[start..end].to_vec();
        let token = (self.does_tokens && ask.token.is_some() && end < self.rows.len())
            .then(|| rows.last().unwrap().to_string());
        Page {
            rows: rows.into_iter().map(row).collect(),
            token,
        }
    }
}

fn row(number: u32) -> Row<u32> {
    Row {
        key: Some(number.to_string()),
        value: number,
    }
}

fn list(server: &RefCell<Server>, known: &Learnt, mode: PageMode, size: usize) -> Result<Vec<u32>, Failure> {
    list_as(server, known, mode, size, Paging::Honoured, None)
}

fn list_as(
    server: &RefCell<Server>,
    known: &Learnt,
    mode: PageMode,
    size: usize,
    paging: Paging,
    at_most: Option<usize>,
) -> Result<Vec<u32>, Failure> {
    let pager = Pager {
        mode,
        size,
        paging,
        at_most,
        room: None,
        learnt: known,
    };
    now(pager.collect(&Progress::new(), |ask| {
        let page = server.borrow_mut().answer(&ask);
        async move { Ok(page) }
    }))
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    use std::task::{Context, Poll, Waker};
    match Box::pin(future)
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

#[track_caller]
fn check_requests(server: Server, mode: PageMode, size: usize, requests: usize) {
    let expected = server.rows.clone();
    let server = RefCell::new(server);
    assert_eq!(list(&server, &Learnt::default(), mode, size).unwrap(), expected);
    assert_eq!(server.borrow().requests, requests, "{:?}", server.borrow().asked);
}

#[test]
fn requests_are_no_more_than_proof_needs() {
    for mode in [PageMode::Auto, PageMode::SkipToken] {
        check_requests(Server::new(0, 99).with_tokens(), mode, 10, 1);
        check_requests(Server::new(20, 99).with_tokens(), mode, 10, 2);
        check_requests(Server::new(21, 99).with_tokens(), mode, 10, 3);
    }
    check_requests(Server::new(9, 99).with_tokens(), PageMode::SkipToken, 10, 1);
    // Not one token was seen yet.
    check_requests(Server::new(10, 99).with_tokens(), PageMode::SkipToken, 10, 2);
    // A server that does no tokens, though it should.
    check_requests(Server::new(25, 99), PageMode::SkipToken, 10, 3);
    for mode in [PageMode::Auto, PageMode::Skip] {
        check_requests(Server::new(0, 99), mode, 10, 1);
        check_requests(Server::new(15, 99), mode, 10, 2);
        check_requests(Server::new(25, 99), mode, 10, 3);
        check_requests(Server::new(99, 999), mode, 10, 10);
        // Nothing is known of the server's cap yet: one request more.
        check_requests(Server::new(5, 99), mode, 10, 2);
        // And one more again for a lone row, which no overlap can hold in its place.
        check_requests(Server::new(1, 99), mode, 10, 3);
    }
}

#[test]
fn a_cap_once_learnt_spares_the_extra_request() {
    let known = Learnt::default();
    let big = RefCell::new(Server::new(25, 8));
    assert_eq!(list(&big, &known, PageMode::Auto, 10).unwrap().len(), 25);
    assert_eq!(known.tokens.known(), None, "no page was as long as asked for");
    let small = RefCell::new(Server::new(5, 8));
    assert_eq!(list(&small, &known, PageMode::Auto, 10).unwrap().len(), 5);
    assert_eq!(small.borrow().requests, 1);
}

#[test]
fn a_server_that_once_sent_a_token_needs_no_second_proof() {
    let known = Learnt::default();
    let big = RefCell::new(Server::new(25, 99).with_tokens());
    list(&big, &known, PageMode::Auto, 10).unwrap();
    assert_eq!(known.tokens.known(), Some(true));
    let small = RefCell::new(Server::new(9, 99).with_tokens());
    assert_eq!(list(&small, &known, PageMode::Auto, 10).unwrap().len(), 9);
    assert_eq!(small.borrow().requests, 1);
}

#[test]
fn a_full_page_without_a_token_goes_on_by_skip_whatever_was_seen_before() {
    let known = Learnt::default();
    known.tokens.proved();
    let server = RefCell::new(Server::new(25, 99));
    assert_eq!(list(&server, &known, PageMode::Auto, 10).unwrap().len(), 25);
}

#[test]
fn a_full_page_without_a_token_goes_on_by_skip() {
    let known = Learnt::default();
    let server = RefCell::new(Server::new(25, 99));
    assert_eq!(list(&server, &known, PageMode::Auto, 10).unwrap().len(), 25);
    assert_eq!(known.tokens.known(), Some(false));
    let asked = server.borrow().asked.clone();
    assert_eq!(asked[0].token.as_deref(), Some("0"));
    assert_eq!(
        (asked[1].skip, asked[1].top, asked[1].token.clone()),
        (Some(9), Some(11), None)
    );
}

#[test]
fn the_lone_row_of_a_server_with_one_row_pages_is_not_taken_for_the_end() {
    let server = RefCell::new(Server::new(5, 1));
    assert!(list(&server, &Learnt::default(), PageMode::Skip, 10).is_err());
}

#[test]
fn a_row_deleted_between_pages_restarts_the_listing() {
    let mut server = Server::new(30, 99);
    server.edits = vec![(1, Edit::Delete(2))];
    let expected: Vec<u32> = (0..30).filter(|row| *row != 2).map(|row| row * 1000).collect();
    let server = RefCell::new(server);
    assert_eq!(
        list(&server, &Learnt::default(), PageMode::Skip, 10).unwrap(),
        expected
    );
}

#[test]
fn rows_that_never_rest_are_an_error_after_three_restarts() {
    let mut server = Server::new(30, 99);
    server.edits = (0..100).map(|at| (at, Edit::Delete(0))).collect();
    let server = RefCell::new(server);
    let failure = list(&server, &Learnt::default(), PageMode::Skip, 10).unwrap_err();
    assert!(matches!(failure.error, RemoteError::Protocol(_)));
    assert_eq!(server.borrow().requests, 8);
}

#[test]
fn a_server_that_ignores_skip_is_an_error_unless_paging_is_optional() {
    let ignoring = || {
        let mut server = Server::new(7, 99);
        server.honours_skip = false;
        RefCell::new(server)
    };
    assert!(list(&ignoring(), &Learnt::default(), PageMode::Skip, 5).is_err());
    let known = Learnt::default();
    for requests in [2, 1] {
        let server = ignoring();
        let rows = list_as(&server, &known, PageMode::Auto, 5, Paging::Optional, None).unwrap();
        assert_eq!((rows.len(), server.borrow().requests), (7, requests));
    }
    let capped = RefCell::new(Server::new(7, 3));
    let rows = list_as(
        &capped,
        &Learnt::default(),
        PageMode::Auto,
        5,
        Paging::Optional,
        None,
    )
    .unwrap();
    assert_eq!(rows.len(), 7, "a cap is noticed where `$skip` works");
}

#[test]
fn as_many_rows_as_ids_need_no_further_proof() {
    let server = RefCell::new(Server::new(3, 99));
    let rows = list_as(
        &server,
        &Learnt::default(),
        PageMode::Skip,
        10,
        Paging::Honoured,
        Some(3),
    )
    .unwrap();
    assert_eq!((rows.len(), server.borrow().requests), (3, 1));
}

fn scripted(mode: PageMode, mut script: Vec<(Vec<u32>, &str)>) -> Result<Vec<u32>, Failure> {
    let known = Learnt::default();
    script.reverse();
    let pager = Pager {
        mode,
        size: 2,
        paging: Paging::Honoured,
        at_most: None,
        room: None,
        learnt: &known,
    };
    now(pager.collect(&Progress::new(), |_| {
        let (rows, token) = script.pop().expect("the pager asks for no page after the last");
        let page = Page {
            rows: rows.into_iter().map(row).collect(),
            token: Some(token.to_owned()),
        };
        async move { Ok(page) }
    }))
}

#[test]
fn tokens_that_lead_nowhere_are_errors() {
    let circle = scripted(
        PageMode::Auto,
        vec![(vec![1], "a"), (vec![2], "b"), (vec![3], "a")],
    );
    assert!(matches!(circle.unwrap_err().error, RemoteError::Protocol(_)));
    let idle = scripted(
        PageMode::Auto,
        vec![(vec![1], "a"), (vec![1], "b"), (vec![], "c"), (vec![1], "d")],
    );
    assert!(matches!(idle.unwrap_err().error, RemoteError::Protocol(_)));
}

#[test]
fn an_empty_token_ends_and_repeated_rows_are_kept_once() {
    let pages = vec![(vec![1, 2], "a"), (vec![], "b"), (vec![2, 3], "")];
    assert_eq!(scripted(PageMode::SkipToken, pages).unwrap(), [1, 2, 3]);
}

#[test]
fn a_failing_page_fails_the_listing() {
    let known = Learnt::default();
    let pager = Pager {
        mode: PageMode::Skip,
        size: 2,
        paging: Paging::Honoured,
        at_most: None,
        room: None,
        learnt: &known,
    };
    let result = now(pager.collect(&Progress::new(), |ask| async move {
        match ask.skip {
            None => Ok(Page {
                rows: vec![row(1), row(2)],
                token: None,
            }),
            Some(_) => Err(Failure::from(crate::http::HttpError::TimedOut("late".to_owned()))),
        }
    }));
    assert!(matches!(result.unwrap_err().error, RemoteError::TimedOut(_)));
}

#[test]
fn every_page_is_told_to_the_waiters() {
    let known = Learnt::default();
    let server = RefCell::new(Server::new(25, 99));
    let pager = Pager {
        mode: PageMode::Skip,
        size: 10,
        paging: Paging::Honoured,
        at_most: None,
        room: None,
        learnt: &known,
    };
    let progress = Progress::new();
    let mut seen = progress.subscribe();
    now(pager.collect(&progress, |ask| {
        let page = server.borrow_mut().answer(&ask);
        async move { Ok(page) }
    }))
    .unwrap();
    assert_eq!(*seen.borrow_and_update(), 25);
}

fn edits() -> impl Strategy<Value = Vec<(usize, Edit)>> {
    let edit = prop_oneof![
        (0usize..40).prop_map(Edit::Delete),
        (0usize..40, 0u32..900).prop_map(|(after, salt)| Edit::Insert(after, salt)),
    ];
    prop::collection::vec((0usize..12, edit), 0..6)
}

proptest! {
    /// Whatever is edited meanwhile, a listing that succeeds holds every row that was there throughout, no row
    /// twice, and none that never was.
    #[test]
    fn a_listing_is_complete_or_an_error(
        count in 0u32..40,
        cap in 1usize..12,
        size in 2usize..12,
        does_tokens: bool,
        mode in prop_oneof![Just(PageMode::Auto), Just(PageMode::Skip)],
        edits in edits(),
        warm: bool,
    ) {
        let known = Learnt::default();
        if warm {
            let mut earlier = Server::new(30, cap);
            earlier.does_tokens = does_tokens;
            let _ = list(&RefCell::new(earlier), &known, mode, size);
        }
        let mut server = Server::new(count, cap);
        server.does_tokens = does_tokens;
        server.edits = edits;
        let initial: BTreeSet<u32> = server.rows.iter().copied().collect();
        let server = RefCell::new(server);
        if let Ok(rows) = list(&server, &known, mode, size) {
            let distinct: BTreeSet<u32> = rows.iter().copied().collect();
            prop_assert_eq!(distinct.len(), rows.len());
            let last: BTreeSet<u32> = server.borrow().rows.iter().copied().collect();
            // A row deleted and inserted again has another number, so "at both ends" is "throughout".
            for row in initial.intersection(&last) {
                prop_assert!(distinct.contains(row), "{} is missing from {:?}", row, rows);
            }
        } else {
            let calm = server.borrow().edits.is_empty();
            prop_assert!(!calm || cap == 1, "a calm server must be listed");
        }
    }
}

proptest! {
    /// Nothing is asked for once there is no room, and what fits is what came.
    #[test]
    fn a_listing_has_room_or_is_read_no_further(
        count in 0_u32..40,
        most in 0_usize..40,
        size in 2_usize..12,
        does_tokens in any::<bool>(),
    ) {
        let mut server = Server::new(count, 1000);
        server.does_tokens = does_tokens;
        let expected = server.rows.clone();
        let server = RefCell::new(server);
        let (learnt, room) = (Learnt::default(), Room::for_rows(most));
        let pager = Pager {
            mode: PageMode::Auto,
            size,
            paging: Paging::Honoured,
            at_most: None,
            room: Some(&room),
            learnt: &learnt,
        };
        let rows = now(pager.collect(&Progress::new(), |ask| {
            let page = server.borrow_mut().answer(&ask);
            async move { Ok(page) }
        }));
        let received = |server: &Server| server.requests * (size + 1);
        match rows {
            Ok(rows) => {
                prop_assert_eq!(&rows, &expected);
                prop_assert!(rows.len() <= most && !room.is_full());
            }
            Err(_) => {
                prop_assert!(room.is_full());
                // Counted pages overlap by a row each.
                prop_assert!(expected.len() + server.borrow().requests > most);
                prop_assert!(received(&server.borrow()) <= most + 2 * (size + 1) + server.borrow().requests);
            }
        }
    }
}
