//! What the fact sheet says of the servers, asked of the simulator: the rows of `tests/conformance`.
//!
//! The rows were written from the fact sheet by someone who had not read the simulator, and this runner is a plain HTTP
//! client that shares nothing with pwfs's own. Where a row and the simulator disagree, the row's source decides.

mod check;
mod percent;
mod places;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use percent::{form, query};
use pwfs::demo::{DemoOptions, DemoServer, knobs::Knobs};
use regex::Regex;
use serde_json::Value;

use check::{Answer, failure, written};
use places::Places;
use table::{Check, HeaderCheck, Login, Query, Row, SECTIONS, Table};

/// Answers of the simulator take milliseconds; one that takes this long never comes.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A row that is sent again while there is more is in a circle after this many.
const MOST_REPEATS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_answers_as_the_fact_sheet_says() {
    let (tables, faults) = table::read();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .gzip(false)
        .no_proxy()
        .timeout(ANSWER_LIMIT)
        .build()
        .unwrap();
    let mut runs = tokio::task::JoinSet::new();
    for table in tables {
        let client = client.clone();
        runs.spawn(async move { Run::of(&table, client).await });
    }
    let mut failures = BTreeMap::new();
    let mut rows = 0;
    while let Some(run) = runs.join_next().await {
        let run = run.unwrap();
        rows += run.rows;
        failures.insert(run.file, run.failures);
    }
    let count: usize = failures.values().map(Vec::len).sum();
    let mut message = format!("{count} of {rows} rows fail\n");
    for (file, failures) in &failures {
        for failure in failures {
            let _ = writeln!(message, "\n{file}.toml {failure}");
        }
    }
    assert!(count == 0, "{message}");
}

#[test]
fn every_section_has_rows_and_every_row_can_be_read() {
    let (tables, faults) = table::read();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let told: BTreeSet<&str> = tables
        .iter()
        .flat_map(|table| &table.rows)
        .map(|row| row.section.as_str())
        .collect();
    let lacking: Vec<&&str> = SECTIONS
        .iter()
        .filter(|section| !told.contains(**section))
        .collect();
    assert!(lacking.is_empty(), "no row for {lacking:?}");
    for knobs in tables.iter().flat_map(|table| &table.rows).map(|row| &row.knobs) {
        turned(knobs);
    }
}

/// Default knobs, with these turned.
fn turned(knobs: &BTreeMap<String, String>) -> Knobs {
    let mut all = Knobs::default();
    for (name, value) in knobs {
        all.set(name, value).unwrap_or_else(|error| panic!("{error}"));
    }
    all
}

/// A server with one set of knobs, for one file.
struct Site {
    server: DemoServer,
    places: Places,
}

/// One file's rows on their way through the servers.
struct Run {
    file: String,
    client: reqwest::Client,
    sites: BTreeMap<BTreeMap<String, String>, Site>,
    saved: Places,
    rows: usize,
    failures: Vec<String>,
}

impl Run {
    async fn of(table: &Table, client: reqwest::Client) -> Self {
        let mut run = Self {
            file: table.name.clone(),
            client,
            sites: BTreeMap::new(),
            saved: Places::default(),
            rows: 0,
            failures: Vec::new(),
        };
        for row in &table.rows {
            let each: Vec<Option<&String>> = if row.each.is_empty() {
                vec![None]
            } else {
                row.each.iter().map(Some).collect()
            };
            for each in each {
                run.rows += 1;
                run.row(row, each).await;
            }
        }
        for site in std::mem::take(&mut run.sites).into_values() {
            site.server.stop().await;
        }
        run
    }

    async fn row(&mut self, row: &Row, each: Option<&String>) {
        if !self.sites.contains_key(&row.knobs) {
            let options = DemoOptions {
                knobs: turned(&row.knobs),
                ..DemoOptions::default()
            };
            let server = DemoServer::start(options).await.unwrap();
            let places = Places::of(&server);
            self.sites.insert(row.knobs.clone(), Site { server, places });
        }
        let site = self.sites.get_mut(&row.knobs).expect("made above");
        if row.login == Login::Bearer && site.places.list("bearer").is_err() {
            match login(&self.client, &site.places).await {
                Ok(token) => site.places.set("bearer", &token),
                Err(failure) => return self.failures.push(format!("{}: {failure}", row.id)),
            }
        }
        if let Some(each) = each {
            self.saved.set("each", each);
        }
        let mut wrong = Vec::new();
        let mut told = String::new();
        for _ in 0..MOST_REPEATS {
            let places = site.places.with(&self.saved);
            let sent = send(&self.client, row, &places).await;
            let (request, answer) = match sent {
                Ok(sent) => sent,
                Err(failure) => {
                    wrong.push(failure);
                    break;
                }
            };
            wrong = judge(row, &answer, &places, &site.server);
            told = story(&request, &answer);
            if row.status.is_told(answer.status) {
                wrong.extend(keep(&mut self.saved, row, &answer));
            }
            let more = row.repeat_while.as_ref().is_some_and(|place| {
                answer
                    .find(place)
                    .0
                    .first()
                    .is_some_and(|value| !value.is_null() && !written(value).is_empty())
            });
            if !more || !wrong.is_empty() {
                break;
            }
        }
        let places = site.places.with(&self.saved);
        for check in &row.saved {
            let found: Vec<Value> = match places.list(&check.at) {
                Ok(list) => list.iter().cloned().map(Value::String).collect(),
                Err(failure) => {
                    wrong.push(failure);
                    continue;
                }
            };
            wrong
                .extend(failure(check, &found, 0, &places).map(|failure| format!("{}: {failure}", check.at)));
        }
        if !wrong.is_empty() {
            let each = each.map(|each| format!(" [{each}]")).unwrap_or_default();
            self.failures.push(format!(
                "{}{each} ({}; {})\n  {}\n  {}{told}",
                row.id,
                row.section,
                row.source,
                row.title,
                wrong.join("\n  "),
            ));
        }
    }
}

/// Saves what the row asks for, and says what is not there.
fn keep(saved: &mut Places, row: &Row, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, place) in &row.save {
        match taken(answer, place) {
            values if values.is_empty() => wrong.push(format!("{place} is not there to be saved as {name}")),
            values => saved.set_list(name, values),
        }
    }
    for (name, place) in &row.save_if_there {
        let values = taken(answer, place);
        if !values.is_empty() {
            saved.set_list(name, values);
        }
    }
    for (name, place) in &row.append {
        saved.append(name, taken(answer, place));
    }
    wrong
}

/// The values at a place, or of a part of each: `PLACE ~ REGEX` takes the first group.
fn taken(answer: &Answer, place: &str) -> Vec<String> {
    let (place, part) = match place.split_once(" ~ ") {
        Some((place, part)) => (place, Some(Regex::new(part).unwrap())),
        None => (place, None),
    };
    let (found, _) = answer.find(place);
    let texts = found.iter().filter(|value| !value.is_null()).map(written);
    let Some(part) = part else {
        return texts.collect();
    };
    texts
        .filter_map(|text| {
            part.captures(&text)?
                .get(1)
                .map(|group| group.as_str().to_owned())
        })
        .collect()
}

/// Sends a row's request; its first line and the answer.
async fn send(client: &reqwest::Client, row: &Row, places: &Places) -> Result<(String, Answer), String> {
    let (method, url) = row.request.split_once(' ').unwrap();
    let mut url = places.fill(url)?;
    let tail = match &row.query {
        Query::Raw(raw) => places.fill(raw)?,
        Query::Plain(pairs) => {
            let pairs: Result<Vec<String>, String> = pairs.iter().map(|pair| places.fill(pair)).collect();
            query(&pairs?)
        }
    };
    if !tail.is_empty() {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&tail);
    }
    let told = format!("{method} {url}");
    let mut request = client.request(method.parse().unwrap(), &url);
    let own = |header: &str| row.send.keys().any(|name| name.eq_ignore_ascii_case(header));
    if row.login == Login::Bearer && !own("authorization") {
        request = request.bearer_auth(places.fill("{bearer}")?);
    }
    for (name, value) in &row.send {
        request = request.header(name, places.fill(value)?);
    }
    if !row.form.is_empty() {
        let fields: Result<Vec<String>, String> = row.form.iter().map(|field| places.fill(field)).collect();
        request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&fields?));
    } else if let Some(body) = &row.body {
        request = request.body(places.fill(body)?);
    }
    let answer = receive(request)
        .await
        .map_err(|failure| format!("{told}: {failure}"))?;
    Ok((told, answer))
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response
            .bytes()
            .await
            .map_err(|error| format!("{error:?}"))?
            .to_vec(),
    })
}

/// An access token, by the code flow of section 3 with the example verifier of RFC 7636.
async fn login(client: &reqwest::Client, places: &Places) -> Result<String, String> {
    let asked = places.fill(
        "{ims}/connect/authorize?client_id={native}&redirect_uri={redirect_uri}&response_type=code&state=s\
         &scope={scope_plus}\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
    )?;
    let answer = receive(client.get(&asked)).await?;
    let code = answer.find("location /code").0.first().map(written);
    let code = code.ok_or_else(|| format!("login: no code{}", story(&asked, &answer)))?;
    let fields = [
        "grant_type=authorization_code".to_owned(),
        places.fill("client_id={native}")?,
        places.fill("redirect_uri={redirect_uri}")?,
        "code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
        format!("code={code}"),
    ];
    let request = client
        .post(places.fill("{ims}/connect/token")?)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form(&fields));
    let answer = receive(request).await?;
    let token = answer.find("/access_token").0.first().map(written);
    token.ok_or_else(|| format!("login: no access token{}", story("POST connect/token", &answer)))
}

/// All that is not as the row expects.
fn judge(row: &Row, answer: &Answer, places: &Places, server: &DemoServer) -> Vec<String> {
    if !row.status.all().contains(&answer.status) {
        return vec![format!("status {}, not {:?}", answer.status, row.status.all())];
    }
    if !row.status.is_told(answer.status) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut ask = |name: &str, check: &Check, found: &[Value], missing: usize| {
        wrong.extend(failure(check, found, missing, places).map(|failure| format!("{name}: {failure}")));
    };
    for (name, check) in &row.headers {
        let (found, _) = answer.find(&format!("header {name}"));
        match check {
            HeaderCheck::Is(text) => {
                let check = Check {
                    is: Some(Value::String(text.clone())),
                    ..Check::default()
                };
                ask(name, &check, &found, 0);
            }
            HeaderCheck::Check(check) => ask(name, check, &found, 0),
        }
    }
    for check in &row.json {
        let (found, missing) = answer.find(&check.at);
        ask(&check.at, check, &found, missing);
    }
    if let Some(check) = &row.text {
        ask("body", check, &[Value::String(answer.text())], 0);
    }
    if row.no_body && !answer.body.is_empty() {
        wrong.push(format!("a body of {} bytes", answer.body.len()));
    }
    if let Some(part) = &row.content {
        match places.fill(&part.of) {
            Ok(document) => {
                let whole = places::content(server, &document);
                let end = part.to.map_or(whole.len(), |last| (last + 1).min(whole.len()));
                if answer.body != whole[part.from..end] {
                    let (from, length) = (part.from, answer.body.len());
                    wrong.push(format!("the {length} bytes are not {from}..{end} of the content"));
                }
            }
            Err(failure) => wrong.push(failure),
        }
    }
    wrong
}

/// The exchange, for a message.
fn story(request: &str, answer: &Answer) -> String {
    let headers: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let body: String = answer.text().chars().take(400).collect();
    format!(
        "\n  {request}\n  → {} [{}]\n  {body}",
        answer.status,
        headers.join(", ")
    )
}
