//! Jobs with outputs of other jobs as inputs (NIP-90, job chaining).

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Encryption, Event, EventId, Keys, Kind, Sql as _, UnsignedEvent, VerifiedEvent};

use super::bench::*;
use super::events::*;
use crate::engine::job_state::JobState;
use crate::engine::{Input, RunId, Task};
use crate::nip90::{JobResultEvent, Status};

fn resolve(bench: &mut Bench, events: &[&VerifiedEvent]) {
    let (job, ..) = bench.resolves.remove(0);
    let events: Vec<Event> = events.iter().map(|event| (***event).clone()).collect();
    bench.give(&Input::Resolved { job, events, blobs: vec![] });
}

/// The inputs from other jobs of the run that was started last.
fn outputs(bench: &Bench) -> Vec<String> {
    let Task::Job { outputs, .. } = &bench.runs.last().expect("it runs").task else { panic!() };
    outputs.iter().map(|output| output.content.clone()).collect()
}

fn sealed(by: &Keys, content: &str) -> VerifiedEvent {
    let content = by.encrypt(&agent().public_key(), content, Encryption::Nip44).unwrap();
    let me = agent().public_key().to_hex();
    UnsignedEvent::new(Kind(SHARED), content).tag(["p", &me]).tag(["encrypted"]).sign(by, START)
}

#[test]
fn waits_for_a_job_of_its_own_and_begins_when_that_is_done() {
    let mut bench = Bench::new();
    let upstream = request(SHARED, 1);
    bench.ask(&upstream);
    let event = chained(SHARED, 2, &[upstream.id]);
    bench.ask(&event);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    assert!(bench.feedback().last().unwrap().message.as_deref().unwrap().contains(&upstream.id.to_hex()));
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!(bench.running(), [RunId::Job(event.id)], "without another second");
    assert_eq!(outputs(&bench), ["Hello"]);
}

#[test]
fn builds_upon_a_job_of_its_own_that_is_done_already() {
    let mut bench = Bench::new();
    let upstream = request(SHARED, 1);
    bench.ask(&upstream);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    bench.crash();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    assert_eq!(outputs(&bench), ["Hello"]);
    assert!(bench.resolves.is_empty(), "nobody needs to be asked");
}

#[test]
fn fails_at_once_with_a_job_of_its_own_that_it_builds_upon() {
    for cancelled in [false, true] {
        let mut bench = Bench::new();
        let upstream = request(SHARED, 1);
        bench.ask(&upstream);
        let event = chained(SHARED, 2, &[upstream.id]);
        bench.ask(&event);
        if cancelled {
            bench.cancel(&upstream, &customer());
        } else {
            let lease = bench.next_run();
            bench.fail(lease, "no", false);
        }
        assert_eq!(bench.state_of(&event), JobState::Failed);
        assert!(bench.last_error().unwrap().contains("has no result"));
    }
}

#[test]
fn looks_on_relays_for_the_output_of_others() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    let input = ["i", &upstream.id.to_hex(), "job", "wss://hint.example"];
    let event = tagged(SHARED, 2, &[&input, &["relays", "wss://answers.example"]]);
    bench.ask_from(&event, Some(EXTERNAL));
    let external = ["wss://hint.example", "wss://answers.example", EXTERNAL].map(str::to_owned).to_vec();
    assert_eq!(bench.resolves, [(event.id, vec![upstream.id], vec![])], "its own relay comes first");

    resolve(&mut bench, &[&upstream]);
    assert_eq!(bench.resolves, [(event.id, vec![upstream.id], external.clone())]);
    resolve(&mut bench, &[&upstream]);
    assert!(bench.resolves.is_empty(), "not again at once");
    bench.seconds(2);
    resolve(&mut bench, &[&upstream]);
    assert_eq!(bench.resolves[0].2, external);
    resolve(&mut bench, &[&upstream, &result_of(&upstream, &customer(), "from a provider")]);
    assert_eq!(outputs(&bench), ["from a provider"]);
}

#[test]
fn what_is_on_its_own_relay_is_found_while_look_ups_on_external_relays_get_no_answer() {
    let mut bench = Bench::new();
    for number in 0..60 {
        let hints: Vec<Vec<String>> = (0..8)
            .map(|relay| {
                let (id, url) =
                    (EventId::from_bytes([number; 32]).to_hex(), format!("wss://{number}-{relay}.example"));
                vec!["i".to_owned(), id, "job".to_owned(), url]
            })
            .collect();
        let customer = Keys::from_secret(&[10 + number % 20; 32]).unwrap();
        bench.ask(&UnsignedEvent::new(Kind(SHARED), "").tags(hints).sign(&customer, START));
        // The own relay answers at once, and has nothing.
        while let Some(own) = bench.resolves.iter().position(|(.., relays)| relays.is_empty()) {
            let (job, ..) = bench.resolves.remove(own);
            bench.give(&Input::Resolved { job, events: vec![], blobs: vec![] });
        }
    }
    assert_eq!(bench.resolves.len(), 8, "look-ups on external relays in progress");
    let upstream = stranger_request();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    let own = bench.resolves.remove(8);
    assert!(own.2.is_empty());
    let result = result_of(&upstream, &customer(), "here");
    bench.give(&Input::Resolved {
        job: own.0,
        events: vec![(*upstream).clone(), (*result).clone()],
        blobs: vec![],
    });
    assert_eq!(outputs(&bench), ["here"]);
}

#[test]
fn a_request_makes_few_connections() {
    let mut bench = Bench::new();
    let hint = |number: u8, relay: String| {
        vec!["i".to_owned(), EventId::from_bytes([number; 32]).to_hex(), "job".to_owned(), relay]
    };
    let mut tags: Vec<Vec<String>> =
        (0..16).map(|number| hint(number, format!("wss://{number}.example"))).collect();
    tags.push(
        std::iter::once("relays".to_owned())
            .chain((20..40).map(|number| format!("wss://{number}.example")))
            .collect(),
    );
    bench.ask_from(&UnsignedEvent::new(Kind(SHARED), "").tags(tags).sign(&customer(), START), Some(EXTERNAL));
    resolve(&mut bench, &[]);
    assert_eq!((bench.resolves[0].1.len(), bench.resolves[0].2.len()), (16, 8));
    // What is no address of a relay, or the own relay, is not queried.
    let mut bench = Bench::new();
    let relays = ["wss://own.example/", "wss://10.0.0.1", "http://a.example", "no address"];
    let tags = (1..).zip(relays).map(|(number, relay)| hint(number, relay.to_owned()));
    bench.ask(&UnsignedEvent::new(Kind(SHARED), "").tags(tags).sign(&customer(), START));
    resolve(&mut bench, &[]);
    assert!(bench.resolves.is_empty(), "{:?}", bench.resolves);
}

#[test]
fn many_waiting_jobs_are_looked_up_few_at_once_and_spread() {
    let mut bench = Bench::new();
    for number in 0..400_u64 {
        let customer = Keys::from_secret(&[10 + u8::try_from(number % 100).unwrap(); 32]).unwrap();
        let unknown = EventId::from_bytes([u8::try_from(number % 251).unwrap(); 32]).to_hex();
        let request = UnsignedEvent::new(Kind(SHARED), "").tag(["i", &unknown, "job"]).tag([
            "param",
            "number",
            &number.to_string(),
        ]);
        bench.ask(&request.sign(&customer, START));
    }
    // Nothing is answered for a while.
    bench.seconds(30);
    assert!(bench.resolves.len() <= 4, "{} at once", bench.resolves.len());
    let mut by_second = Vec::new();
    for _ in 0..40 {
        let mut looked_up = 0;
        while let Some((job, ..)) = bench.resolves.pop() {
            bench.give(&Input::Resolved { job, events: vec![], blobs: vec![] });
            looked_up += 1;
        }
        by_second.push(looked_up);
        bench.seconds(1);
    }
    // The first look-ups are made as fast as they are answered, the others about a hundred in a second.
    let most = by_second[1..].iter().max().unwrap();
    assert!(*most < 200, "{by_second:?}");
    assert!(by_second.iter().sum::<usize>() > 1_000, "{by_second:?}");
}

#[test]
fn takes_an_output_that_is_named_by_the_result_itself() {
    let mut bench = Bench::new();
    let result = result_of(&stranger_request(), &customer(), "named");
    bench.ask(&chained(SHARED, 2, &[result.id]));
    resolve(&mut bench, &[&result]);
    assert_eq!(outputs(&bench), ["named"]);
}

#[test]
fn takes_no_result_of_a_provider_that_was_not_asked() {
    let provider = Keys::from_secret(&[6; 32]).unwrap();
    let upstream = UnsignedEvent::new(Kind(5_300), "")
        .tag(["p", &provider.public_key().to_hex()])
        .sign(&stranger(), START);
    let mut bench = Bench::new();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    let forged = result_of(&upstream, &customer(), "forged");
    resolve(&mut bench, &[&forged, &upstream]);
    assert!(bench.runs.is_empty());
    bench.seconds(1);
    resolve(&mut bench, &[&forged, &upstream, &result_of(&upstream, &provider, "right")]);
    assert_eq!(outputs(&bench), ["right"]);
}

#[test]
fn takes_the_first_of_several_results() {
    let upstream = stranger_request();
    let mut bench = Bench::new();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    let later = UnsignedEvent::new(Kind(6_300), "later")
        .tag(["e", &upstream.id.to_hex()])
        .sign(&customer(), START + Duration::from_secs(1));
    let first = result_of(&upstream, &customer(), "first");
    resolve(&mut bench, &[&upstream, &first, &later]);
    assert_eq!(outputs(&bench), ["first"]);
}

#[test]
fn believes_no_time_that_a_provider_claims() {
    let upstream = stranger_request();
    let claimed = |at, content: &str| {
        UnsignedEvent::new(Kind(6_300), content).tag(["e", &upstream.id.to_hex()]).sign(&customer(), at)
    };
    let honest = claimed(START + Duration::from_secs(5), "honest");
    for forged in [
        claimed(openagents_host::Timestamp::EPOCH, "1970"),
        claimed(START - Duration::from_secs(1), "before"),
    ] {
        let mut bench = Bench::new();
        bench.ask(&chained(SHARED, 2, &[upstream.id]));
        resolve(&mut bench, &[&upstream, &forged]);
        assert!(bench.runs.is_empty(), "a result is not older than its request");
        bench.seconds(1);
        resolve(&mut bench, &[&upstream, &forged, &honest]);
        assert_eq!(outputs(&bench), ["honest"]);
    }
    let mut bench = Bench::new();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    resolve(&mut bench, &[&upstream, &honest, &claimed(START, "found later, dated earlier")]);
    assert_eq!(outputs(&bench), ["honest"]);
}

#[test]
fn believes_nobody_about_a_job_of_its_own() {
    let mut bench = Bench::new();
    let upstream = request(SHARED, 1);
    let event = chained(SHARED, 2, &[upstream.id]);
    // The request is known to relays before it reaches the agent.
    bench.ask(&event);
    bench.ask(&upstream);
    let forged = UnsignedEvent::new(Kind(SHARED + 1_000), "forged")
        .tag(["e", &upstream.id.to_hex()])
        .sign(&stranger(), START);
    resolve(&mut bench, &[&upstream, &forged]);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    bench.seconds(60);
    assert!(bench.resolves.is_empty(), "no relay is asked");
    let lease = bench.next_run();
    bench.done(lease, "own");
    assert_eq!(outputs(&bench), ["own"]);
}

#[test]
fn builds_upon_no_result_that_was_changed_in_the_database() {
    let mut bench = Bench::new();
    let upstream = request(SHARED, 1);
    bench.ask(&upstream);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    bench.sql.damage("UPDATE job SET answer = replace(answer, 'Hello', 'Pay me')");
    bench.crash();
    let event = chained(SHARED, 2, &[upstream.id]);
    bench.ask(&event);
    assert_eq!(bench.state_of(&event), JobState::Failed);
    assert!(bench.last_error().unwrap().contains("damaged"));
}

#[test]
fn finds_its_result_on_its_relay_where_an_earlier_release_did_not_store_it() {
    let mut bench = Bench::new();
    let upstream = request(SHARED, 1);
    bench.ask(&upstream);
    let lease = bench.next_run();
    bench.done(lease, "own");
    let result = bench.own().pop().unwrap().clone();
    bench.sql.damage("UPDATE job SET answer = NULL");
    let options = bench.options.clone();
    let mut bench = Bench::on(bench.sql.clone(), bench.spec.clone(), options);
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    let forged = UnsignedEvent::new(Kind(SHARED + 1_000), "forged")
        .tag(["e", &upstream.id.to_hex()])
        .sign(&stranger(), START);
    resolve(&mut bench, &[&upstream, &forged, &result]);
    assert_eq!(outputs(&bench), ["own"]);
}

#[test]
fn takes_no_other_event_for_a_result() {
    let upstream = stranger_request();
    let mut bench = Bench::new();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    let note =
        UnsignedEvent::new(Kind(1), "a note").tag(["e", &upstream.id.to_hex()]).sign(&customer(), START);
    let other = result_of(&request(SHARED, 9), &customer(), "of another job");
    resolve(&mut bench, &[&note, &other, &upstream]);
    assert!(bench.runs.is_empty());
}

#[test]
fn waits_for_all_of_several_inputs_across_a_crash() {
    let mut bench = Bench::new();
    let (own, theirs) = (request(SHARED, 1), stranger_request());
    bench.ask(&own);
    let event = chained(SHARED, 2, &[theirs.id, own.id]);
    bench.ask(&event);
    resolve(&mut bench, &[&theirs, &result_of(&theirs, &customer(), "theirs")]);
    assert_eq!(bench.running(), [RunId::Job(own.id)]);
    bench.crash();
    let lease = bench.next_run();
    bench.done(lease, "own");
    let mut both = outputs(&bench);
    both.sort();
    assert_eq!(both, ["own", "theirs"]);
    let lease = bench.next_run();
    bench.fail(lease, "later", true);
    bench.seconds(1);
    assert_eq!(outputs(&bench).len(), 2, "the next attempt has them too");
}

#[test]
fn looks_up_again_what_was_changed_in_the_database() {
    let upstream = stranger_request();
    let result = result_of(&upstream, &customer(), "right");
    let damages: [&dyn Fn(&str) -> String; 3] = [
        &|json| json.replace("right", "wrong"),
        &|_| (*result_of(&request(5_300, 8), &customer(), "of another job").json()).to_string(),
        &|_| "a text that an earlier release kept".to_owned(),
    ];
    for damage in damages {
        let mut bench = Bench::new();
        let exclusive = request(EXCLUSIVE, 1);
        bench.ask(&exclusive);
        let lease = bench.next_run();
        let event = chained(EXCLUSIVE, 2, &[upstream.id]);
        bench.ask(&event);
        resolve(&mut bench, &[&upstream, &result]);
        assert_eq!(bench.state_of(&event), JobState::Queued);
        let changed = damage(result.json());
        bench.sql.execute("UPDATE job_input SET result = ?", values![&*changed]).unwrap();
        bench.done(lease, "");
        assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
        bench.seconds(1);
        resolve(&mut bench, &[&upstream, &result]);
        assert_eq!(bench.running(), [RunId::Job(event.id)]);
        assert_eq!(outputs(&bench), ["right"]);
    }
}

#[test]
fn gives_up_after_an_hour() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    let event = chained(SHARED, 2, &[upstream.id]);
    bench.ask(&event);
    let mut asked = 0;
    for _ in 0..3_599 {
        while !bench.resolves.is_empty() {
            resolve(&mut bench, &[&upstream]);
            asked += 1;
        }
        bench.seconds(1);
    }
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    assert!((60..120).contains(&asked), "asked {asked} times");
    bench.seconds(60);
    assert_eq!(bench.state_of(&event), JobState::Failed);
    assert!(bench.last_error().unwrap().contains("had no output in time"));
    assert_eq!(bench.count("job_input"), 0);
}

#[test]
fn gives_up_after_five_minutes_what_no_relay_knows() {
    let mut bench = Bench::new();
    let (known, unknown) = (stranger_request(), request(5_300, 7));
    let event = chained(SHARED, 2, &[known.id, unknown.id]);
    bench.ask(&event);
    for _ in 0..299 {
        while !bench.resolves.is_empty() {
            resolve(&mut bench, &[&known]);
        }
        bench.seconds(1);
    }
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    bench.seconds(60);
    assert_eq!(bench.state_of(&event), JobState::Failed);
    assert!(bench.last_error().unwrap().contains("was not found on any relay"));
}

#[test]
fn waits_an_hour_for_a_job_of_its_own_that_is_still_running() {
    let mut bench = Bench::with(|spec| spec.handlers[0].declaration.timeout = Duration::from_secs(3_000));
    let upstream = request(SHARED, 1);
    bench.ask(&upstream);
    let event = chained(SHARED, 2, &[upstream.id]);
    bench.ask(&event);
    bench.seconds(2_900);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!(outputs(&bench), ["Hello"]);
}

#[test]
fn asks_again_where_the_relays_were_asked_by_a_process_that_ended() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    bench.crash();
    bench.seconds(4 * 60);
    resolve(&mut bench, &[&result_of(&upstream, &customer(), "late")]);
    assert_eq!(outputs(&bench), ["late"]);
}

#[test]
fn takes_nothing_from_anybody_while_the_request_is_unknown() {
    let upstream = stranger_request();
    let mut bench = Bench::new();
    bench.ask(&chained(SHARED, 2, &[upstream.id]));
    let forged = UnsignedEvent::new(Kind(6_300), "forged")
        .tag(["e", &upstream.id.to_hex()])
        .sign(&customer(), openagents_host::Timestamp::EPOCH);
    resolve(&mut bench, &[&forged]);
    assert!(bench.runs.is_empty(), "whom it was for nobody knows");
}

#[test]
fn takes_the_result_that_is_named_and_none_that_says_it_is_its_result() {
    let named = result_of(&stranger_request(), &customer(), "named");
    let forged = UnsignedEvent::new(Kind(6_300), "forged")
        .tag(["e", &named.id.to_hex()])
        .sign(&stranger(), openagents_host::Timestamp::EPOCH);
    for events in [vec![&forged, &named], vec![&forged]] {
        let mut bench = Bench::new();
        bench.ask(&chained(SHARED, 2, &[named.id]));
        resolve(&mut bench, &events);
        let is_there = events.len() == 2;
        assert_eq!(!bench.runs.is_empty(), is_there);
        if is_there {
            assert_eq!(outputs(&bench), ["named"]);
        }
    }
}

#[test]
fn reads_an_encrypted_result_that_is_for_this_agent() {
    // The agent was the customer of that job.
    let upstream = UnsignedEvent::new(Kind(5_300), "").tag(["encrypted"]).sign(&agent(), START);
    let result = |receiver: &Keys| {
        let content = stranger().encrypt(&receiver.public_key(), "for you", Encryption::Nip44).unwrap();
        UnsignedEvent::new(Kind(6_300), content)
            .tag(["e", &upstream.id.to_hex()])
            .tag(["p", &receiver.public_key().to_hex()])
            .tag(["encrypted"])
            .sign(&stranger(), START)
    };
    // As if the agent had hired another, and used its output as an input.
    let own = |number: u64| {
        UnsignedEvent::new(Kind(SHARED), "")
            .tag(["i", &upstream.id.to_hex(), "job"])
            .sign(&agent(), START + Duration::from_millis(number))
    };
    for (asker, told, may) in
        [(agent(), agent(), true), (agent(), customer(), false), (customer(), agent(), false)]
    {
        let mut bench = Bench::new();
        let request = if asker.public_key() == agent().public_key() {
            own(0)
        } else {
            chained(SHARED, 2, &[upstream.id])
        };
        bench.ask(&request);
        resolve(&mut bench, &[&upstream, &result(&told)]);
        assert_eq!(!bench.runs.is_empty(), may, "{asker:?} asks, {told:?} was told");
        if may {
            assert_eq!(outputs(&bench), ["for you"]);
        }
    }
}

#[test]
fn passes_its_own_encrypted_result_on_to_the_same_customer_only() {
    for (owner, may) in [(customer(), true), (stranger(), false)] {
        let mut bench = Bench::new();
        let upstream = sealed(&owner, r#"[["i","secret","text"]]"#);
        bench.ask(&upstream);
        let lease = bench.next_run();
        bench.done(lease, "your secret");
        let result = bench.own().pop().unwrap().clone();
        assert!(JobResultEvent::from_event(&result).unwrap().encrypted);
        bench.ask(&chained(SHARED, 2, &[upstream.id]));
        if may {
            assert_eq!(outputs(&bench), ["your secret"]);
        } else {
            assert!(bench.runs.is_empty() && bench.resolves.is_empty());
            assert!(bench.last_error().unwrap().contains("for another customer"));
        }
    }
}

#[test]
fn asks_for_the_price_when_the_inputs_are_there() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    let event = chained(QUOTED, 2, &[upstream.id]);
    bench.ask(&event);
    assert!(bench.quotes.is_empty());
    resolve(&mut bench, &[&result_of(&upstream, &customer(), "x")]);
    assert_eq!(bench.quotes, [event.id]);
    assert_eq!(bench.state_of(&event), JobState::Received);
}

#[test]
fn an_output_that_no_row_could_hold_is_waited_for_in_vain() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    let event = chained(SHARED, 2, &[upstream.id]);
    bench.ask(&event);
    resolve(&mut bench, &[&result_of(&upstream, &customer(), &"x".repeat(2_100_000))]);
    assert_eq!(bench.warnings, [""; 0]);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    assert_eq!(bench.statuses(), [Status::Processing]);
}

#[test]
fn a_job_that_names_one_upstream_twice_waits_for_it_once() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    bench.ask(&chained(SHARED, 2, &[upstream.id, upstream.id]));
    assert_eq!(bench.resolves[0].1.len(), 1);
}
