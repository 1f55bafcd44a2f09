//! Chromium and its driver: installed if need be, started on a free port, windows opened on demand.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::debian;
use crate::error::Result;
use crate::judges;
use crate::port;
use crate::process::Child;

/// A running driver, and the windows opened through it.
pub(super) struct Chromium {
    browser: PathBuf,
    folder: PathBuf,
    url: String,
    windows: Vec<Client>,
    _driver: Child,
}

impl Chromium {
    /// Starts the driver; logs and profiles go to `folder`.
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let browser = program().await?;
        let driver = find(&DRIVERS).ok_or("chromedriver is installed, but not in PATH")?;
        let address = port::pick_free().await?;
        let mut command = Command::new(driver);
        command.arg(format!("--port={}", address.port()));
        let mut child = Child::spawn(&mut command, folder)?;
        port::await_listener(address, &mut child).await?;
        Ok(Self {
            browser,
            folder: folder.to_owned(),
            url: format!("http://{address}"),
            windows: Vec::new(),
            _driver: child,
        })
    }

    /// A window of a browser of its own, with an empty profile.
    pub(super) async fn open_window(&mut self) -> Result<Client> {
        self.open(json!({})).await
    }

    /// As [`open_window`](Self::open_window), on a phone that is held upright, by night.
    pub(super) async fn open_phone(&mut self) -> Result<Client> {
        let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 2, "touch": true });
        self.open(json!({ "mobileEmulation": { "deviceMetrics": metrics } }))
            .await
    }

    async fn open(&mut self, mut options: Value) -> Result<Client> {
        let profile = self.folder.join(format!("profile-{}", self.windows.len()));
        if profile.exists() {
            fs::remove_dir_all(&profile)
                .map_err(|error| format!("cannot empty {}: {error}", profile.display()))?;
        }
        judges::make_folder(&profile)?;
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        if options.get("mobileEmulation").is_some() {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        options["binary"] = json!(self.browser);
        options["args"] = json!(arguments);
        let capabilities: Map<String, Value> = [("goog:chromeOptions".to_owned(), options)]
            .into_iter()
            .collect();
        let window = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.url)
            .await
            .map_err(|error| format!("cannot start {}: {error}", self.browser.display()))?;
        self.windows.push(window.clone());
        Ok(window)
    }

    /// Ends the browser of the window opened last, as a person does who leaves.
    pub(super) async fn close_last_window(&mut self) -> Result<()> {
        if let Some(window) = self.windows.pop() {
            window.close().await?;
        }
        Ok(())
    }

    /// Ends all browsers.
    pub(super) async fn close_windows(&mut self) {
        while !self.windows.is_empty() {
            if let Err(error) = self.close_last_window().await {
                eprintln!("browser: a window does not close: {error}");
            }
        }
    }
}

/// The browser's program; it and its driver are installed if need be.
pub(crate) async fn program() -> Result<PathBuf> {
    if find(&BROWSERS).is_none() || find(&DRIVERS).is_none() {
        debian::install(&["chromium", "chromium-driver"]).await?;
    }
    find(&BROWSERS).ok_or_else(|| "Chromium is installed, but not in PATH".into())
}

/// The first of these programs that is in PATH.
fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

const BROWSERS: [&str; 3] = ["chromium", "google-chrome", "chromium-browser"];
const DRIVERS: [&str; 1] = ["chromedriver"];
/// Without a display, without rights of its own (root has no sandbox), and without calls home.
pub(crate) const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,760",
];
