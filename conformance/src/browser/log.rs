//! What a chat page shows in its log and in its list of people.

use fantoccini::Client;
use serde_json::Value;

use crate::error::Result;
use crate::judges;

/// The texts of the elements of a selector.
pub(super) async fn texts(window: &Client, selector: &str) -> Result<Vec<String>> {
    let script =
        "return [...document.querySelectorAll(arguments[0])].map((found) => found.textContent)";
    let found = window.execute(script, vec![selector.into()]).await?;
    let texts = found.as_array().into_iter().flatten();
    Ok(texts.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The names in the list of people.
pub(super) async fn people(window: &Client) -> Result<Vec<String>> {
    texts(window, "#people .who").await
}

/// How many notes of the log have this text.
pub(super) async fn mentions(window: &Client, text: &str) -> Result<usize> {
    let notes = texts(window, "#log .note").await?;
    Ok(notes.iter().filter(|note| note.contains(text)).count())
}

/// Scrolls to the note with this text.
pub(super) async fn show(window: &Client, text: &str) -> Result<()> {
    let script = "[...document.querySelectorAll('#log .note')]
        .find((note) => note.textContent.includes(arguments[0])).scrollIntoView({ block: 'center' })";
    window.execute(script, vec![text.into()]).await?;
    Ok(())
}

/// Leaves a screenshot.
pub(super) async fn picture(window: &Client, name: &str) -> Result<()> {
    let picture = judges::folder("")?.join(format!("chat-{name}.png"));
    judges::write(&picture, window.screenshot().await?)?;
    println!("browser: a picture of it is in {}", picture.display());
    Ok(())
}

/// The messages.
pub(super) const SAID: &str = "#log .said .bubble";
/// The note of a page that came back, behind the number of messages.
pub(super) const AWAY: &str = "while you were away";
/// The note of a page that cannot get all messages.
pub(super) const MISSING: &str = "Some messages are missing";
