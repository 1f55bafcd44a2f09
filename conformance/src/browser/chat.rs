//! Two people in one room of the chat page. One comes by a link that names room and person, the
//! other fills in the form.

use fantoccini::{Client, Locator};

use crate::error::Result;
use crate::judges;

use super::chromium::Chromium;
use super::{Tally, until};

/// Two windows, one room; leaves a screenshot of it.
pub(super) async fn try_two_people(
    chromium: &mut Chromium,
    url: &str,
    tally: &mut Tally,
) -> Result<()> {
    let ada = Person {
        name: "Ada",
        window: chromium.open_window().await?,
    };
    let grace = Person {
        name: "Grace",
        window: chromium.open_window().await?,
    };

    ada.window
        .goto(&format!("{url}?room={ROOM}&name={}", ada.name))
        .await?;
    ada.sees("state", "open").await?;
    tally.passed("a link that names room and person joins at once");

    grace.window.goto(url).await?;
    grace.fill("name", grace.name).await?;
    grace.fill("room", ROOM).await?;
    grace.click("join").await?;
    grace.sees("state", "open").await?;
    tally.passed("the form joins");

    for person in [&ada, &grace] {
        person.sees("people", ada.name).await?;
        person.sees("people", grace.name).await?;
    }
    tally.passed("each sees who is here");

    for (from, text) in [
        (&ada, "Has the salmon run begun?"),
        (&grace, "They are jumping, come & see <now>"),
    ] {
        from.say(text).await?;
        for person in [&ada, &grace] {
            person.sees("log", text).await?;
        }
    }
    tally.passed("each sees the other's messages");

    let picture = judges::folder("")?.join("chat.png");
    judges::write(&picture, ada.window.screenshot().await?)?;
    println!("browser: a picture of it is in {}", picture.display());

    grace.click_link("/drawboard").await?;
    until("Ada sees that Grace is at another page", || async {
        Ok(!ada.text("people").await?.contains(grace.name))
    })
    .await?;
    grace.window.back().await?;
    ada.sees("people", grace.name).await?;
    tally.passed("who goes to another page is not here until they come back");

    chromium.close_last_window().await?;
    until("Ada sees that Grace has left", || async {
        Ok(!ada.text("people").await?.contains(grace.name))
    })
    .await?;
    tally.passed("who leaves is no longer here");
    Ok(())
}

/// A window, and the name of who sits before it.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) window: Client,
}

impl Person {
    /// Empties a field and types into it.
    async fn fill(&self, id: &str, text: &str) -> Result<()> {
        let field = self.window.find(Locator::Id(id)).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    pub(super) async fn click(&self, id: &str) -> Result<()> {
        Ok(self.window.find(Locator::Id(id)).await?.click().await?)
    }

    async fn click_link(&self, target: &str) -> Result<()> {
        let link = format!("a[href='{target}']");
        Ok(self.window.find(Locator::Css(&link)).await?.click().await?)
    }

    /// What an element shows; nothing while the page lacks it.
    async fn text(&self, id: &str) -> Result<String> {
        match self.window.find(Locator::Id(id)).await {
            Ok(element) => Ok(element.text().await?),
            Err(error) if error.is_no_such_element() => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a message.
    pub(super) async fn say(&self, text: &str) -> Result<()> {
        self.fill("text", text).await?;
        self.click("send").await
    }

    /// Waits until an element shows this text.
    pub(super) async fn sees(&self, id: &str, text: &str) -> Result<()> {
        let what = format!("{} sees `{text}` in #{id}", self.name);
        until(&what, || async { Ok(self.text(id).await?.contains(text)) }).await
    }
}

const ROOM: &str = "river";
