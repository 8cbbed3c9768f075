# SPDX-License-Identifier: MIT
# Does what the README says to someone who has only the README: copies include/weakly into a scratch project, and compiles
# the README's own code there. Its first block is a program, the others are functions that vendored.cpp calls.
separate_arguments(flags UNIX_COMMAND "${flags}")
file(REMOVE_RECURSE ${folder})
file(COPY ${checkout}/include/weakly DESTINATION ${folder}/third_party)

file(READ ${checkout}/README.md text)
foreach(block 1 2 3)
  string(FIND "${text}" "```cpp\n" begin)
  if(begin EQUAL -1)
    message(FATAL_ERROR "the README has no C++ block number ${block}")
  endif()
  math(EXPR begin "${begin} + 7")
  string(SUBSTRING "${text}" ${begin} -1 text)
  string(FIND "${text}" "```\n" end)
  string(SUBSTRING "${text}" 0 ${end} code)
  string(SUBSTRING "${text}" ${end} -1 text)
  file(WRITE ${folder}/block_${block}.cpp "${code}")
endforeach()

function(compile_and_run name)
  execute_process(COMMAND ${compiler} ${flags} -Ithird_party ${ARGN} -o ${name} WORKING_DIRECTORY ${folder}
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ./${name} WORKING_DIRECTORY ${folder} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
compile_and_run(program block_1.cpp)
compile_and_run(functions block_2.cpp block_3.cpp ${vendored})
