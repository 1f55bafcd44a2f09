//! Forged positions: they are not recovered, and disturb no other subscriber.

use super::*;
use crate::topics::{Clients, History};

const ID: &str = "AAAAAAAAAAE";

#[tokio::test(start_paused = true)]
async fn a_forged_position_is_not_recovered_and_disturbs_no_other_subscriber() {
    let world = World::with(kept(5).clients(Clients::subscribe()));
    let honest = world.enveloped().await;
    honest.ask(r#"{"sub":"a/1","ref":1}"#).await;
    let mut stored = Vec::new();
    for n in 1..=3 {
        stored.push(
            world
                .publish("a/1", &n.to_string())
                .await
                .unwrap()
                .to_string(),
        );
    }
    let fields: Vec<Vec<&str>> = stored.iter().map(|at| at.split(':').collect()).collect();
    let [epoch, _, id] = fields[1][..] else {
        panic!()
    };
    let forged = [
        format!("{ID}:2:{id}"),
        format!("{epoch}:2:{ID}"),
        format!("{epoch}:1:{id}"),
        format!("{epoch}:3:{id}"),
        format!("{epoch}:4:{ID}"),
        format!("{epoch}:{}:{ID}", u64::MAX),
        format!("{epoch}:0:{ID}"),
        format!("{ID}:0:0"),
    ];
    let mut reference = 1;
    let top = &stored[2];
    for at in &forged {
        let client = world.enveloped().await;
        reference += 1;
        let header = format!(r#"{{"sub":"a/1","ref":{reference},"at":"{at}"}}"#);
        let answers = client.ask(&header).await;
        let lost = format!(r#""at":"{top}","recovered":false,"missed":0"#);
        let is_refused = answers[0].contains("bad-request");
        assert!(
            is_refused || answers[0].contains(&lost),
            "{at}: {answers:?}"
        );
        assert_eq!(answers.len(), 1, "{at}");
    }
    // An honest client that comes back gets what it missed.
    let back = world.enveloped().await;
    let header = format!(r#"{{"sub":"a/1","ref":9,"at":"{}"}}"#, stored[1]);
    let answers = back.ask(&header).await;
    assert!(
        answers[0].contains(r#""recovered":true,"missed":1"#),
        "{answers:?}"
    );
    world.publish("a/1", "4").await;
    let bodies = |frames: Vec<String>| {
        let bodies = frames.iter().map(|frame| frame.split_once('\n').unwrap());
        bodies.map(|(_, body)| body.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bodies(honest.read().await), ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_latest_value_is_given_whatever_the_position_says() {
    let policy = Policy::new().history(History::latest());
    let world = World::with(policy.clients(Clients::subscribe()));
    let at = world.publish("a/1", "value").await.unwrap();
    for (at, missed) in [
        (format!("{ID}:9:{ID}"), 1),
        (
            format!("{}:0:0", at.to_string().split(':').next().unwrap()),
            1,
        ),
        (at.to_string(), 0),
    ] {
        let client = world.enveloped().await;
        let answers = client
            .ask(&format!(r#"{{"sub":"a/1","ref":1,"at":"{at}"}}"#))
            .await;
        let recovered = format!(r#""recovered":true,"missed":{missed}"#);
        assert!(answers[0].contains(&recovered), "{at}: {answers:?}");
        assert_eq!(answers.len(), 1 + missed);
    }
}
