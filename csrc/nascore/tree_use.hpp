// What the tree's files share.
#pragma once

#include <stdexcept>
#include <string>

#include "nascore/tree.hpp"

namespace nascore {

inline void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

// A call that walks the space. Another one that comes meanwhile, from the space itself or from a
// thread that runs while Python decides, is refused.
class Tree::Use {
 public:
  explicit Use(Tree& tree) : tree_(tree) {
    require(!tree.in_use_, "the tree is in use: its space, or another thread, called it meanwhile");
    tree.in_use_ = true;
  }
  ~Use() { tree_.in_use_ = false; }
  Use(const Use&) = delete;

 private:
  Tree& tree_;
};

}  // namespace nascore
