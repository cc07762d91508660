"""One BitTorrent transfer over uTP between two libtorrent sessions."""
import os
import sys
import tempfile
import time

import libtorrent as lt


def session(port):
    return lt.session({
        "listen_interfaces": f"127.0.0.1:{port}",
        "enable_outgoing_tcp": False, "enable_incoming_tcp": False,
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True, "download_rate_limit": 100000,
    })


def main():
    with tempfile.TemporaryDirectory() as seed, tempfile.TemporaryDirectory() as leech:
        with open(os.path.join(seed, "file"), "wb") as f:
            f.write(os.urandom(400_000))
        storage = lt.file_storage()
        lt.add_files(storage, os.path.join(seed, "file"))
        torrent = lt.create_torrent(storage, 16384, lt.create_torrent.v1_only)
        lt.set_piece_hashes(torrent, seed)
        info = lt.torrent_info(torrent.generate())
        a, b = session(int(sys.argv[1])), session(int(sys.argv[2]))
        a.add_torrent({"ti": info, "save_path": seed, "flags": lt.torrent_flags.seed_mode})
        h = b.add_torrent({"ti": lt.torrent_info(info), "save_path": leech})
        end = time.time() + 15
        while time.time() < end and h.status().progress < 1:
            h.connect_peer(("127.0.0.1", int(sys.argv[1])))
            time.sleep(0.5)


main()
