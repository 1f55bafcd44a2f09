//! The pages beside the chat, between two windows: a desk by day and a phone by night. What one draws the other
//! sees, pixel for pixel's place; two snakes are in one field; and what is pushed is known before it is polled.

use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::{Client, Locator};
use serde_json::Value;

use crate::error::Result;
use crate::judges;

use super::chromium::Chromium;
use super::{Tally, until};

/// Tries all pages; leaves screenshots of them.
pub(super) async fn try_pages(chromium: &mut Chromium, url: &str, tally: &mut Tally) -> Result<()> {
    let desk = chromium.open_window().await?;
    let phone = chromium.open_phone().await?;
    let url = url.trim_end_matches('/');
    let tried = async {
        try_index(&desk, url, tally).await?;
        try_drawboard([&desk, &phone], url, tally).await?;
        try_snake([&desk, &phone], url, tally).await?;
        try_compare([&desk, &phone], url, tally).await?;
        fits(&phone, tally).await
    }
    .await;
    if tried.is_err() {
        picture(&desk, "fault").await?;
        picture(&phone, "fault-phone").await?;
    }
    tried
}

async fn try_index(desk: &Client, url: &str, tally: &mut Tally) -> Result<()> {
    for (page, title) in [
        ("/drawboard", "Drawboard"),
        ("/snake", "Snake"),
        ("/push-or-poll", "Push or poll"),
    ] {
        desk.goto(url).await?;
        if page == "/drawboard" {
            picture(desk, "index").await?;
        }
        let link = format!("a[href='{page}']");
        desk.find(Locator::Css(&link)).await?.click().await?;
        until(&format!("the link leads to {page}"), || async {
            Ok(text(desk, "h1").await?.contains(title))
        })
        .await?;
    }
    tally.passed("the index leads to every page");
    Ok(())
}

async fn try_drawboard(windows: [&Client; 2], url: &str, tally: &mut Tally) -> Result<()> {
    let [desk, phone] = windows;
    for window in windows {
        window.goto(&format!("{url}/drawboard")).await?;
        sees(window, "#state", "open").await?;
    }
    for window in windows {
        sees(window, "#people", "2").await?;
    }
    tally.passed("the drawboard counts who is here");

    for (ink, nib, path) in [(6, 18, WAVE), (1, 44, FIN), (4, 8, GROUND)] {
        choose(desk, "ink", ink).await?;
        choose(desk, "nib", nib).await?;
        draw(desk, path).await?;
    }
    choose(phone, "ink", 7).await?;
    draw(phone, PHONE).await?;
    for (part, whose) in [
        ((0.5, 0.5), "desk"),
        ((0.1, 0.9), "desk"),
        ((0.8, 0.2), "phone"),
    ] {
        for window in windows {
            until(
                &format!("what the {whose} drew is seen at {part:?}"),
                || async { is_inked(window, part).await },
            )
            .await?;
        }
    }
    tally.passed("what one draws the other sees, in the same place");

    // Who comes later sees it too.
    desk.goto(&format!("{url}/drawboard")).await?;
    sees(desk, "#state", "open").await?;
    until("the picture is there for who comes later", || async {
        Ok(is_inked(desk, (0.5, 0.5)).await? && is_inked(desk, (0.8, 0.2)).await?)
    })
    .await?;
    tally.passed("who comes later sees what was drawn");
    for (window, name) in [(desk, "drawboard"), (phone, "drawboard-phone")] {
        picture(window, name).await?;
    }
    desk.find(Locator::Id("clear")).await?.click().await?;
    for window in windows {
        until("the sheet is cleared for all", || async {
            Ok(!is_inked(window, (0.5, 0.5)).await?)
        })
        .await?;
    }
    tally.passed("one clears the sheet for all");
    Ok(())
}

async fn try_snake(windows: [&Client; 2], url: &str, tally: &mut Tally) -> Result<()> {
    let [desk, phone] = windows;
    for window in windows {
        window.goto(&format!("{url}/snake")).await?;
        sees(window, "#state", "open").await?;
    }
    for window in windows {
        until("both snakes are told of", || async {
            Ok(window.find_all(Locator::Css("#scores li")).await?.len() == 2)
        })
        .await?;
        sees(window, "#scores li.you", "You").await?;
    }
    tally.passed("two snakes are in one field");

    // The other window sees where this one turned: its body stands upright then.
    let body = desk.find(Locator::Css("body")).await?;
    let me = number(desk, "return self").await?;
    for (key, what) in [("\u{e013}", "n"), ("\u{e014}", "e"), ("\u{e015}", "s")] {
        // One that just died is not there to turn, and is asked again.
        until(&format!("a key turns the snake to {what}"), || async {
            body.send_keys(key).await?;
            let seen = phone.execute(&heading(me, what), Vec::new()).await?;
            Ok(seen == Value::Bool(true))
        })
        .await?;
    }
    tally.passed("keys turn the snake, and the other window sees it");
    let me = number(phone, "return self").await?;
    for turn in ["n", "w", "s", "e"] {
        let button = format!("#pad [data-turn='{turn}']");
        until(&format!("a button turns the snake to {turn}"), || async {
            phone.find(Locator::Css(&button)).await?.click().await?;
            let seen = desk.execute(&heading(me, turn), Vec::new()).await?;
            Ok(seen == Value::Bool(true))
        })
        .await?;
    }
    tally.passed("a phone's buttons turn the snake");
    for (window, name) in [(desk, "snake"), (phone, "snake-phone")] {
        picture(window, name).await?;
    }
    Ok(())
}

async fn try_compare(windows: [&Client; 2], url: &str, tally: &mut Tally) -> Result<()> {
    for window in windows {
        window.goto(&format!("{url}/push-or-poll")).await?;
    }
    let [desk, phone] = windows;
    until("eight events are known by polling too", || async {
        Ok(number(desk, "return Math.min(push.known, poll.known)").await? >= 8)
    })
    .await?;
    tally.passed("each event is pushed, and polled for");
    let [pushed, polled] = ["push", "poll"].map(|way| format!("return {way}.requests"));
    if number(desk, &pushed).await? == 1 && number(desk, &polled).await? >= 8 {
        tally.passed("pushing took one request, polling one each second");
    } else {
        tally.failed(
            "pushing took one request, polling one each second",
            "other numbers",
        );
    }
    let fewer = desk
        .execute("return push.bytes < poll.bytes", Vec::new())
        .await?;
    if fewer == Value::Bool(true) {
        tally.passed("pushing took fewer bytes");
    } else {
        tally.failed("pushing took fewer bytes", "it took more");
    }
    for (window, name) in [(desk, "push-or-poll"), (phone, "push-or-poll-phone")] {
        picture(window, name).await?;
    }
    Ok(())
}

/// Nothing of a page may hang over the side of a phone.
async fn fits(phone: &Client, tally: &mut Tally) -> Result<()> {
    const OVERHANG: &str = "return document.documentElement.scrollWidth - innerWidth";
    let base = phone.current_url().await?;
    for page in ["/", "/drawboard", "/snake", "/push-or-poll"] {
        phone.goto(base.join(page)?.as_str()).await?;
        let over = number(phone, OVERHANG).await?;
        let check = format!("{page} fits a phone");
        if over <= 0 {
            tally.passed(&check);
        } else {
            tally.failed(&check, &format!("{over} px too wide"));
        }
        if page == "/" {
            picture(phone, "index-phone").await?;
        }
    }
    Ok(())
}

/// A script that says whether a snake's head is where it goes when it has turned.
fn heading(snake: i64, turn: &str) -> String {
    format!(
        "const snake = field.snakes.find(({{ id }}) => id === {snake});
         if (!snake || snake.body.length < 4) return false;
         const [x, y, ox, oy] = snake.body;
         const step = {{ n: [0, -1], e: [1, 0], s: [0, 1], w: [-1, 0] }}['{turn}'];
         return x === (ox + step[0] + size.width) % size.width && y === (oy + step[1] + size.height) % size.height"
    )
}

/// Picks a colour or a width as a person does who clicks it.
async fn choose(window: &Client, name: &str, value: u32) -> Result<()> {
    let css = format!("#tools label:has(input[name='{name}'][value='{value}'])");
    Ok(window.find(Locator::Css(&css)).await?.click().await?)
}

/// Draws along parts of the sheet.
async fn draw(window: &Client, path: &[(f64, f64)]) -> Result<()> {
    let mut mouse = MouseActions::new("mouse".to_owned());
    for (step, part) in path.iter().enumerate() {
        let [x, y] = place(window, *part).await?;
        mouse = mouse.then(PointerAction::MoveTo {
            duration: None,
            x,
            y,
        });
        if step == 0 {
            let button = MOUSE_BUTTON_LEFT;
            mouse = mouse.then(PointerAction::Down { button });
        }
    }
    let button = MOUSE_BUTTON_LEFT;
    let mouse = mouse.then(PointerAction::Up { button });
    Ok(window.perform_actions(mouse).await?)
}

/// Where a part of the sheet is in the window.
async fn place(window: &Client, (x, y): (f64, f64)) -> Result<[f64; 2]> {
    let script = format!(
        "const box = document.getElementById('sheet').getBoundingClientRect();
         return [box.left + box.width * {x}, box.top + box.height * {y}]"
    );
    let place = window.execute(&script, Vec::new()).await?;
    let part = |index: usize| place.get(index).and_then(Value::as_f64);
    let place = part(0).zip(part(1)).ok_or("the sheet is nowhere")?;
    Ok([place.0.round(), place.1.round()])
}

/// Whether the picture has something at a part of the sheet.
async fn is_inked(window: &Client, (x, y): (f64, f64)) -> Result<bool> {
    let script = format!(
        "const {{ width, height }} = picture.canvas;
         return picture.getImageData(Math.round(width * {x}), Math.round(height * {y}), 1, 1).data[3] > 0"
    );
    Ok(window.execute(&script, Vec::new()).await? == Value::Bool(true))
}

async fn number(window: &Client, script: &str) -> Result<i64> {
    let number = window.execute(script, Vec::new()).await?;
    number
        .as_f64()
        .map(|number| number as i64)
        .ok_or_else(|| format!("no number: {script}").into())
}

async fn text(window: &Client, css: &str) -> Result<String> {
    match window.find(Locator::Css(css)).await {
        Ok(element) => Ok(element.text().await?),
        Err(error) if error.is_no_such_element() => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

async fn sees(window: &Client, css: &str, what: &str) -> Result<()> {
    until(&format!("`{what}` is seen in {css}"), || async {
        // A list may be made anew while it is read.
        Ok(text(window, css)
            .await
            .is_ok_and(|text| text.contains(what)))
    })
    .await
}

async fn picture(window: &Client, name: &str) -> Result<()> {
    let file = judges::folder("")?.join(format!("{name}.png"));
    judges::write(&file, window.screenshot().await?)?;
    println!("browser: a picture of it is in {}", file.display());
    Ok(())
}

const WAVE: &[(f64, f64)] = &[
    (0.2, 0.5),
    (0.3, 0.35),
    (0.4, 0.35),
    (0.5, 0.5),
    (0.6, 0.65),
    (0.7, 0.65),
    (0.8, 0.5),
];
const FIN: &[(f64, f64)] = &[(0.3, 0.7), (0.35, 0.6), (0.4, 0.7)];
const GROUND: &[(f64, f64)] = &[(0.05, 0.9), (0.1, 0.9), (0.5, 0.93), (0.95, 0.9)];
const PHONE: &[(f64, f64)] = &[(0.7, 0.2), (0.8, 0.2), (0.85, 0.3), (0.75, 0.3), (0.7, 0.2)];
