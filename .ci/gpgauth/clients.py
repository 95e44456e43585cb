"""Logs in at a server with clients of gpgAuth that nobody of us wrote.

Makes keys with GnuPG, registers them at new accounts of the server whose program is the first argument,
and has each client log in with them; the second argument is the program that `extension/build` makes. Ends
with an error if one of them doesn't get in, or one gets in with a key that nobody has.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url}: {error} {error.read().decode()}")


def start(program, folder):
    """The server, and where it listens."""
    arguments = ["--listen", "127.0.0.1:0", "--key-stock", "0", "--code", "off"]
    arguments += ["--gpgauth-key", "openpgp.asc", "--log", "warn"]
    server = subprocess.Popen([program, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        if "://" in line:
            return server, "http://" + line.split("://")[1].strip()
    sys.exit(f"the server ended with {server.wait()}")


def gpg(*arguments, passphrase="", text=None):
    command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase]
    return subprocess.run([*command, *arguments], input=text, check=True, capture_output=True, text=True).stdout


def make_key(name, algorithm, passphrase=""):
    """Its fingerprint."""
    gpg("--quick-generate-key", name, algorithm, "default", "never", passphrase=passphrase)
    listed = gpg("--with-colons", "--list-keys", name)
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    # Only these two bring a subkey that encrypts.
    if algorithm not in ("default", "future-default"):
        gpg("--quick-add-key", fingerprint, algorithm, "encr", "never", passphrase=passphrase)
    return fingerprint


def secret_half(fingerprint, passphrase=""):
    return gpg("--armor", "--export-secret-keys", fingerprint, passphrase=passphrase)


def register(url, name, fingerprint, passphrase):
    """An account with a password, which has the key, too, and has proved it: its request token."""
    account = {"username": name, "password": "correct horse"}
    post(url + "/keyserver/register", account)
    token = post(url + "/keyserver/authenticate", account)["token"]
    registered = post(url + "/register_new_key", {"token": token, "openpgp_key": gpg("--armor", "--export", fingerprint)})
    # The server's key isn't known to GnuPG.
    answer = gpg("--skip-verify", "--decrypt", passphrase=passphrase, text=registered["challenge"])
    post(url + "/prove_openpgp_key", {"token": token, "key_hash": fingerprint.lower(), "answer": answer})
    return token


def last_used(url, token, fingerprint):
    keys = post(url + "/list_keys", {"token": token})
    return next(key["last_used"] for key in keys if key["fingerprint"] == fingerprint.lower())


def requests_gpgauthlib(url, fingerprint, _):
    """Stages 0 to 2, then asks whether it has a session."""
    import gnupg
    from requests_gpgauthlib import GPGAuthSession

    session = GPGAuthSession(gnupg.GPG(), url, user_fingerprint=fingerprint)
    # It keeps its cookies in a file.
    session.cookies.clear()
    assert session.gpgauth_version_is_supported
    assert session.server_identity_is_verified
    assert session.authenticate()
    check = session.get(session.gpgauth_uri("/checkSession.json"))
    assert check.status_code == 200, check.text
    logout = session.post(url + "/auth/logout.json", headers={"X-CSRF-Token": cookie(session, "csrfToken")})
    assert logout.status_code == 200, logout.text
    check = session.get(session.gpgauth_uri("/checkSession.json"))
    assert check.status_code == 401, check.text


def cookie(session, name):
    return next(cookie.value for cookie in session.cookies if cookie.name == name)


def passbolt_python_api(url, fingerprint, _):
    """Stages 1 and 2, then who it is, which has to be answered 200."""
    from passboltapi import APIClient

    client = APIClient({"PASSBOLT": {"SERVER": url, "USER_FINGERPRINT": fingerprint}})
    assert client.get("/users/me.json")["body"]["username"]
    assert client.get_server_public_key()[0] != fingerprint


def py_passbolt(url, fingerprint, secret_key):
    """Stages 1 and 2, then who it is. What it asks for after that only Passbolt has."""
    import passbolt

    class LoggedIn(passbolt.PassboltAPI):
        def get_resource_type_ids(self):
            return {}

    of_gnupg = {"gpg_library": "gnupg", "fingerprint": fingerprint}
    of_pgpy = {"gpg_library": "PGPy", "private_key": secret_key, "passphrase": ""}
    for config in [of_gnupg, of_pgpy]:
        client = LoggedIn({"base_url": url, "verify": False, **config})
        assert client.authenticated and client.user_id and client.token


def browser_extension(url, fingerprint, secret_key):
    """Stages 0 to 2, whether it is logged in, logout. Needs a key with a passphrase."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(secret_key)
        file.flush()
        command = ["node", sys.argv[2], url, fingerprint, file.name, PASSPHRASE]
        subprocess.run(command, check=True, timeout=120)


CLIENTS = [requests_gpgauthlib, passbolt_python_api, py_passbolt]
PASSPHRASE = "correct horse"


def try_key(url, name, algorithm, clients, passphrase=""):
    """Has the clients log in with a new key."""
    fingerprint = make_key(f"{name} <{name}@example.org>", algorithm, passphrase)
    token = register(url, name, fingerprint, passphrase)
    secret_key = secret_half(fingerprint, passphrase)
    for client in clients:
        before = last_used(url, token, fingerprint)
        client(url, fingerprint, secret_key)
        after = last_used(url, token, fingerprint)
        assert after and after != before, f"{client.__name__} opened no session"
        print(f"{client.__name__} logged in with {algorithm}", flush=True)


def try_stranger(url, clients, passphrase=""):
    """Has the clients try it with a key that nobody has: they get nothing that they can decrypt."""
    fingerprint = make_key("stranger" + passphrase, "future-default", passphrase)
    secret_key = secret_half(fingerprint, passphrase)
    for client in clients:
        try:
            client(url, fingerprint, secret_key)
        except Exception as error:
            print(f"{client.__name__} didn't with a key that nobody has: {error!r:.80}", flush=True)
        else:
            sys.exit(f"{client.__name__} logged in with a key that nobody has")


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="gc", dir="/tmp") as folder:
        home = pathlib.Path(folder) / "home"
        (home / "gnupg").mkdir(mode=0o700, parents=True)
        os.environ.update(HOME=str(home), GNUPGHOME=str(home / "gnupg"))
        server, url = start(program, folder)
        try:
            for algorithm in ["rsa3072", "future-default"]:
                name = "ada_" + algorithm.split("-")[0]
                try_key(url, name, algorithm, CLIENTS)
                try_key(url, name + "_browser", algorithm, [browser_extension], PASSPHRASE)
            try_stranger(url, CLIENTS)
            try_stranger(url, [browser_extension], PASSPHRASE)
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], check=False)
            server.terminate()
            if server.wait(timeout=30) != 0:
                sys.exit("the server didn't end well")


main()
