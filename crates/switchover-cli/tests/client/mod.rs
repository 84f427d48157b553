//! A client of the application's on a PostgreSQL server that keeps its session, so that tests can leave a transaction open.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use switchover_testkit::Database;

/// The session.
pub(crate) struct Client(Child, ChildStdin, BufReader<ChildStdout>);

impl Client {
    /// Opens one.
    pub(crate) fn of(database: &Database) -> Client {
        let mut psql = database.server().psql_command(database.name());
        psql.args(["-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(psql.get_program()).args(psql.get_args());
        shell.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Client(child, input, BufReader::new(output))
    }

    /// Runs a statement, and waits for what came of it.
    pub(crate) fn says(&mut self, statement: &str) -> String {
        writeln!(self.1, "{statement};\n\\echo done").unwrap();
        let lines = (&mut self.2).lines().map(Result::unwrap);
        lines.take_while(|line| line != "done").collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
