// rotor rag: knowledge bases, which hold the facts that a model does not.
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/tool/main.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/rag/rag_commands.h"

namespace rotor::runtime::cli {

int rag(int argc, char** argv) {
  return tool::run_commands(
      argc, argv, "rotor rag",
      "rotor rag keeps documents in a knowledge base (a file, or on a PostgreSQL server) and finds "
      "passages in it "
      "by words and by meaning.",
      {{"add", "take files and folders in, making the base if there is none", rag_add},
       {"update", "bring the base to what its files and folders hold now", rag_update},
       {"remove", "take documents, files and folders out", rag_remove},
       {"list", "the documents that are in it", rag_list},
       {"search", "the passages that fit a question", rag_search},
       {"export", "all documents with their passages, as JSON lines", rag_export},
       {"prompts", "questions with their sources and answers, to train a model on", rag_prompts}});
}

void add_embedder_options(cxxopts::Options& options) {
  options.add_options()(
      "embedder",
      "what makes vectors of texts: a .rotor file (sentence encoder or language model), or a "
      "server's address, http://host:port/v1#model, with its key in OPENAI_API_KEY "
      "(default: what the base was made with)",
      cxxopts::value<std::string>()->default_value(""))("t,threads",
                                                        "threads of the embedder (default: one a core)",
                                                        cxxopts::value<int64_t>()->default_value("0"));
}

retrieval::BaseOptions read_base_options(const cxxopts::ParseResult& parsed) {
  retrieval::BaseOptions options;
  options.embedder = parsed["embedder"].as<std::string>();
  options.threads = parsed["threads"].as<int64_t>();
  if (options.threads < 0) fail("-t: expected 0 or more, found ", options.threads);
  options.say = [](const std::string& message) {
    std::fprintf(stderr, "%s\n", tool::printable(message).c_str());
  };
  return options;
}

void add_filter_option(cxxopts::Options& options) {
  options.add_options()(
      "filter",
      "only documents of which this is true: FIELD=VALUE, also != < <= > >= and ^= (begins with); "
      "fields are id, title, source and those of the metadata; several: all of them",
      cxxopts::value<std::vector<std::string>>());
}

rag::Filter read_filter(const cxxopts::ParseResult& parsed) {
  rag::Filter filter;
  if (parsed.count("filter") == 0) return filter;
  for (const std::string& text : parsed["filter"].as<std::vector<std::string>>())
    filter.push_back(rag::parse_condition(text));
  return filter;
}

}  // namespace rotor::runtime::cli
