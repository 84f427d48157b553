//! How much room the server's disk has, where the server is on this machine.
//!
//! A server behind a forwarded port may name a folder that exists here too and is another's. So the
//! folder counts only when its control file holds the identifier that the server itself gives.

use super::connect::Connection;
use crate::disk;
use std::io::Read;
use std::path::PathBuf;

/// Bytes free where the server keeps its data; `None` when that is elsewhere, or cannot be read.
pub(super) async fn free_bytes(connection: &Connection) -> Option<u64> {
    // Only roles that may read all settings see it; for the others the row is not there.
    let sql = "SELECT s.setting, c.system_identifier FROM pg_catalog.pg_settings s,
        pg_catalog.pg_control_system() c WHERE s.name = 'data_directory'";
    let row = connection.client().query_opt(sql, &[]).await.ok()??;
    let (folder, identifier): (String, i64) = (row.get(0), row.get(1));
    let folder = PathBuf::from(folder);
    let mut found = [0; 8];
    std::fs::File::open(folder.join("global/pg_control")).ok()?.read_exact(&mut found).ok()?;
    (i64::from_ne_bytes(found) == identifier).then(|| disk::free_bytes(&folder)).flatten()
}
