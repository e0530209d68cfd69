// The sub-commands of `rotor rag`, and what they share. argv[0] is "rotor rag COMMAND".
#pragma once

#include <string>

#include "rotor/tool/options.h"
#include "runtime/rag/filter.h"
#include "runtime/retrieval/open_base.h"

namespace rotor::runtime::cli {

int rag_add(int argc, char** argv);
int rag_update(int argc, char** argv);
int rag_remove(int argc, char** argv);
int rag_list(int argc, char** argv);
int rag_search(int argc, char** argv);
int rag_export(int argc, char** argv);
int rag_prompts(int argc, char** argv);

/// --embedder, -t.
void add_embedder_options(cxxopts::Options& options);
/// What those say, and notes of the base on stderr.
retrieval::BaseOptions read_base_options(const cxxopts::ParseResult& parsed);

/// --filter, any number of times.
void add_filter_option(cxxopts::Options& options);
rag::Filter read_filter(const cxxopts::ParseResult& parsed);

}  // namespace rotor::runtime::cli
