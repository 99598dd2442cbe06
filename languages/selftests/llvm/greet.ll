@name = global [80 x i8] zeroinitializer
@input = constant [5 x i8] c"%79s\00"
@format = constant [12 x i8] c"Hello, %s!\0A\00"

declare i32 @scanf(i8*, ...)
declare i32 @printf(i8*, ...)

define i32 @main() {
  %name = bitcast [80 x i8]* @name to i8*
  %input = bitcast [5 x i8]* @input to i8*
  %format = bitcast [12 x i8]* @format to i8*
  call i32 (i8*, ...) @scanf(i8* %input, i8* %name)
  call i32 (i8*, ...) @printf(i8* %format, i8* %name)
  ret i32 0
}
