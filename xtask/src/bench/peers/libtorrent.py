"""One libtorrent session, driven by `cargo xtask bench peers`.

Argument: a JSON object. `make`: writes a torrent and ends. Otherwise prints `ready`, waits for a line on standard
input (`go`), prints `done` when everything is flushed to the file, and ends with its standard input.
"""
import json
import sys

import libtorrent as lt


def make(job):
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[job["content"]]
    files = lt.file_storage()
    lt.add_files(files, job["source"])
    torrent = lt.create_torrent(files, job["piece_bytes"], flags)
    if job["announce"]:
        torrent.add_tracker(job["announce"])
    lt.set_piece_hashes(torrent, job["folder"])
    with open(job["torrent"], "wb") as out:
        out.write(lt.bencode(torrent.generate()))


def session(job):
    settings = {
        "listen_interfaces": "127.0.0.1:%d" % job["port"],
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification
        | lt.alert.category_t.error_notification,
    }
    if not job["utp"]:
        settings.update({"enable_incoming_utp": False, "enable_outgoing_utp": False})
    if job["tuned"]:
        settings.update({
            "send_buffer_watermark": 8 * 1024 * 1024,
            "max_out_request_queue": 1500,
            "max_queued_disk_bytes": 256 * 1024 * 1024,
            "out_enc_policy": lt.enc_policy.disabled, "in_enc_policy": lt.enc_policy.disabled,
        })
    params = lt.session_params()
    params.settings = settings
    if job["tuned"]:
        params.disk_io_constructor = "pread_disk_io_constructor"
    return lt.session(params)


def torrent(job):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(job["torrent"])
    params.save_path = job["folder"]
    params.trackers = []
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if job["make"] == "seed" and job["tuned"]:
        params.have_pieces = [True] * params.ti.num_pieces()
        params.flags |= lt.torrent_flags.no_verify_files
    elif job["make"] == "seed":
        params.flags |= lt.torrent_flags.seed_mode
    return params


def wait(ses, handle, kinds):
    while True:
        ses.wait_for_alert(1000)
        for alert in ses.pop_alerts():
            if isinstance(alert, (lt.file_error_alert, lt.torrent_error_alert, lt.listen_failed_alert)):
                sys.exit(alert.message())
            if isinstance(alert, kinds):
                return


def main():
    job = json.loads(sys.argv[1])
    if job["make"] == "torrent":
        return make(job)
    ses = session(job)
    params = torrent(job)
    if job["make"] == "seed":
        handle = ses.add_torrent(params)
        while not handle.status().is_seeding:
            ses.wait_for_alert(50)
            ses.pop_alerts()
        print("ready", flush=True)
    else:
        print("ready", flush=True)
        sys.stdin.readline()
        params.peers = [("127.0.0.1", port) for port in job["peers"]]
        handle = ses.add_torrent(params)
        wait(ses, handle, lt.torrent_finished_alert)
        handle.flush_cache()
        wait(ses, handle, lt.cache_flushed_alert)
        print("done", flush=True)
    sys.stdin.read()


main()
