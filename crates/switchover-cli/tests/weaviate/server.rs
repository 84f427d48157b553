//! The server that the tests of this file take turns with, read by plain HTTP; and a source with a folder.

use crate::common::case::{SOON_SETTLED, turn};
use crate::common::{program, run};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::MutexGuard;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Address;
use tempfile::TempDir;

/// The folder of a site that takes the place of the machine's for temporary files.
const TEMPORARY: &str = "temporary";

/// Asking a server without the product.
pub(crate) struct Look(pub(crate) Address);

impl Look {
    pub(crate) fn rest(&self, method: &str, path: &str, body: &str) -> (u16, Json) {
        let (status, text) = self.0.rest(method, path, body).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Json::String(text)))
    }

    fn schema(&self) -> Vec<Json> {
        self.rest("GET", "/v1/schema", "").1["classes"].as_array().unwrap().clone()
    }

    /// The names of all collections, in their order.
    pub(crate) fn collections(&self) -> Vec<String> {
        self.0.collections().unwrap()
    }

    /// A collection's properties by name.
    pub(crate) fn properties(&self, collection: &str) -> BTreeMap<String, Json> {
        let schema = self.schema();
        let class = schema.iter().find(|class| class["class"] == collection).unwrap();
        let properties = class["properties"].as_array().unwrap();
        properties.iter().map(|p| (p["name"].as_str().unwrap().to_owned(), p.clone())).collect()
    }

    pub(crate) fn create(&self, collection: &str, properties: &[&str]) {
        let properties: Vec<Json> =
            properties.iter().map(|name| json!({ "name": name, "dataType": ["text"] })).collect();
        let class = json!({ "class": collection, "vectorizer": "none", "properties": properties });
        assert_eq!(self.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    }

    pub(crate) fn patch(&self, collection: &str, id: &str, properties: &str) {
        let body = format!(r#"{{"class":"{collection}","properties":{properties}}}"#);
        let (status, answer) = self.rest("PATCH", &format!("/v1/objects/{collection}/{id}"), &body);
        assert_eq!(status, 204, "{answer}");
    }

    /// Every object by its id, with its vector.
    pub(crate) fn objects(&self, collection: &str) -> BTreeMap<String, Json> {
        let mut all = BTreeMap::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/objects?class={collection}&limit=1000&after={after}&include=vector");
            let (_, page) = self.rest("GET", &path, "");
            let page = page["objects"].as_array().unwrap().clone();
            let Some(last) = page.last() else { return all };
            after = last["id"].as_str().unwrap().to_owned();
            all.extend(page.into_iter().map(|object| (object["id"].as_str().unwrap().to_owned(), object)));
        }
    }

    pub(crate) fn count(&self, collection: &str) -> u64 {
        let query = format!("{{ Aggregate {{ {collection} {{ meta {{ count }} }} }} }}");
        let body = json!({ "query": query }).to_string();
        let (_, answer) = self.rest("POST", "/v1/graphql", &body);
        answer["data"]["Aggregate"][collection][0]["meta"]["count"].as_u64().unwrap()
    }
}

/// A source, a server and a folder in which the program runs.
pub(crate) struct Site {
    pub(crate) server: Look,
    pub(crate) folder: TempDir,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Site {
    /// A source made by SQL, and the shared server without any collection.
    pub(crate) fn new(sql: &str) -> Site {
        Site::with(|source| source.execute_batch(sql).unwrap())
    }

    /// A source made by a closure.
    pub(crate) fn with(fill: impl FnOnce(&rusqlite::Connection)) -> Site {
        let turn = turn();
        Site { _turn: Some(turn), ..Site::at(Weaviate::shared().unwrap().clone(), fill) }
    }

    /// With a server of one's own.
    pub(crate) fn at(address: Address, fill: impl FnOnce(&rusqlite::Connection)) -> Site {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(TEMPORARY)).unwrap();
        let source = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
        fill(&source);
        Site { server: Look(address), folder, _turn: None }
    }

    pub(crate) fn source(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("app.db")).unwrap()
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), arguments);
        command.env("FAILPOINTS", SOON_SETTLED);
        command.env("TMPDIR", self.folder.path().join(TEMPORARY));
        if let Some(key) = self.server.0.api_key() {
            command.env("WEAVIATE_API_KEY", key);
        }
        command
    }

    /// `migrate` between the site's stores.
    pub(crate) fn migrate(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&["migrate", "--from", "sqlite:app.db", "--to", &self.server.0.url()]);
        command.args(arguments);
        command
    }

    /// `search` on the server.
    pub(crate) fn search(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&["search", "--to", &self.server.0.url()]);
        command.args(arguments);
        command
    }

    /// Another verb on the newest run.
    pub(crate) fn verb(&self, verb: &str) -> Command {
        self.program(&[verb, "--from", "sqlite:app.db", "--to", &self.server.0.url()])
    }

    /// That each table's objects are its rows: as many, each with an id of its own.
    #[track_caller]
    pub(crate) fn has_all(&self, tables: &[(&str, &str)]) {
        for (table, collection) in tables {
            let rows: u32 = self
                .source()
                .query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0))
                .unwrap();
            assert_eq!(self.server.count(collection), u64::from(rows), "{table}");
            assert_eq!(self.server.objects(collection).len(), rows as usize, "{table}");
        }
        run(&mut self.verb("verify")).exits(0);
    }
}
