// Logs in with the authentication modules of Passbolt's browser extension: what of a browser they
// need is here.
import AuthVerifyServerChallengeService from "passbolt-browser-extension/src/all/background_page/service/auth/authVerifyServerChallengeService.js";
import AuthVerifyLoginChallengeService from "passbolt-browser-extension/src/all/background_page/service/auth/authVerifyLoginChallengeService.js";
import AuthVerifyServerKeyService from "passbolt-browser-extension/src/all/background_page/service/api/auth/authVerifyServerKeyService.js";
import GpgAuthHeader from "passbolt-browser-extension/src/all/background_page/model/gpgAuthHeader.js";
import { ApiClientOptions } from "passbolt-styleguide/src/shared/lib/apiClient/apiClientOptions";
import { readFileSync } from "node:fs";

const [url, fingerprint, file, passphrase] = process.argv.slice(2);
const cookies = new Map();

globalThis.self = globalThis;
globalThis.browser = { cookies: { get: async ({ name }) => ({ value: cookies.get(name) }) } };
globalThis.customApiClientFetch = async (url, options) => {
  const pairs = [...cookies].map(([name, value]) => `${name}=${value}`);
  const headers = { ...options.headers, ...(pairs.length && { cookie: pairs.join("; ") }) };
  const response = await fetch(url, { ...options, headers });
  for (const cookie of response.headers.getSetCookie()) {
    const [name, value] = cookie.split(";")[0].split(/=(.*)/s);
    value ? cookies.set(name, value) : cookies.delete(name);
  }
  return response;
};
const ask = (path, options = {}) => customApiClientFetch(url + path, options);
const expect = (is, what) => {
  if (!is) throw new Error(what);
};

const options = new ApiClientOptions().setBaseUrl(url);
const serverKey = await new AuthVerifyServerKeyService(options).getServerKey();
await new AuthVerifyServerChallengeService(options).verifyAndValidateServerChallenge(fingerprint, serverKey.armored_key);
await new AuthVerifyLoginChallengeService(options).verifyAndValidateLoginChallenge(
  fingerprint,
  readFileSync(file, "utf8"),
  passphrase,
);
expect((await ask("/auth/is-authenticated.json")).status === 200, "it isn't logged in");
const headers = await options.getHeaders();
const logout = await ask("/auth/logout.json", { method: "POST", headers });
expect(logout.status === 200, "it can't log out");
new GpgAuthHeader(logout.headers, "logout");
expect((await ask("/auth/is-authenticated.json")).status === 401, "it is logged in yet");
