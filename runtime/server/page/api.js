// The server's API as the page needs it. Addresses are relative, so that the page also works below a path of a proxy.

/** What went wrong, in words for the user. `status`: of HTTP; 0 if the server was not reached or the answer broke off. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const headers = (key) => (key ? {authorization: `Bearer ${key}`} : {});

async function request(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // Only a key can hold characters that no header may.
    if (error instanceof TypeError && /header|ISO-8859-1/i.test(error.message)) {
      throw new ApiError("The API key has characters that no key can have.", 401);
    }
    throw new ApiError("The server cannot be reached. Is it running, and this device on its network?");
  }
}

async function refusal(response) {
  let said = "";
  try {
    const body = await response.json();
    said = typeof body.error === "string" ? body.error : body.error?.message ?? "";
  } catch {
    // A proxy's page, say: the status tells enough.
  }
  const wait = response.headers.get("retry-after");
  if (response.status === 401 || response.status === 403) {
    return new ApiError(`The server wants another API key.${said ? ` It says: ${said}` : ""}`, response.status);
  }
  if (response.status === 429 || response.status === 503) {
    const when = /^\d+$/.test(wait ?? "") ? `in ${wait} s` : "in a moment";
    return new ApiError(`The server is busy. Try again ${when}.${said ? ` It says: ${said}` : ""}`, response.status);
  }
  return new ApiError(said || `The server answers with status ${response.status}.`, response.status);
}

/** The models: {id}, and `retrieval`, what is done without being asked, if the server has a knowledge base. Throws
    ApiError. */
export async function listModels(key) {
  const response = await request("v1/models", {headers: headers(key)});
  if (!response.ok) throw await refusal(response);
  try {
    return (await response.json()).data.map(({id, retrieval}) => ({id, retrieval}));
  } catch {
    throw new ApiError("What answers at v1/models is no list of models.");
  }
}

/** Data of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */
async function* events(stream) {
  let rest = "";
  let data = [];
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      if (line === "" && data.length > 0) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}

/** Chunks of a chat completion, as they come. Throws ApiError, and AbortError once `signal` says so. */
export async function* streamChat(body, key, signal) {
  const response = await request("v1/chat/completions", {
    method: "POST",
    headers: {"content-type": "application/json", ...headers(key)},
    body: JSON.stringify({...body, stream: true, stream_options: {include_usage: true}}),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(chunk.error.message ?? "The server gave up on this answer.");
      yield chunk;
    }
  } catch (error) {
    if (error instanceof ApiError || error.name === "AbortError") throw error;
  }
  throw new ApiError("The answer broke off: the connection to the server was lost.");
}
