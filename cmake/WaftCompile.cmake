# Compiler settings every target of the tree shares.
option(WAFT_WERROR "Warnings are errors" ON)
set(WAFT_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined")

add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -fno-strict-aliasing
  -fvisibility=hidden)
add_compile_definitions(_GNU_SOURCE)
if(WAFT_WERROR)
  add_compile_options(-Werror)
endif()
if(WAFT_SANITIZE)
  add_compile_options(-fsanitize=${WAFT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${WAFT_SANITIZE})
endif()
