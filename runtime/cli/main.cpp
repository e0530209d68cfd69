// rotor: runs packed ternary models. No LibTorch here.
#include "rotor/tool/main.h"
#include "runtime/cli/commands.h"

int main(int argc, char** argv) {
  using namespace rotor::runtime::cli;
  return rotor::tool::run_commands(
      argc, argv, "rotor", "rotor runs packed ternary neural networks.",
      {{"run", "go on from a prompt", run},
       {"chat", "a conversation on the terminal", chat},
       {"serve", "OpenAI's API over HTTP, for many at once", serve},
       {"embed", "a vector of numbers for each text, to search by meaning", embed},
#ifdef ROTOR_HAS_RAG
       {"rag", "knowledge bases: documents in, passages out", rag},
#endif
       {"classify", "accuracy and speed of a classifier on a data set", classify},
       {"perplexity", "how well a language model predicts a text", perplexity},
       {"logits", "logits and hidden states of given tokens, as safetensors", logits},
       {"bench", "speed, next to what this machine's memory can give", bench},
       {"devices", "what this machine has to run models on", devices},
       {"doctor", "whether what runs here computes what it should", doctor},
       {"tokenize", "text to token ids, and back", tokenize},
       {"chat-template", "the text that a chat becomes for a model", chat_template},
       {"info", "what is in a model file", info},
       {"verify", "check every byte of a model file", verify}});
}
