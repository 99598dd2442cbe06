// Where the editor page begins.
import { noteTimeOfPage } from "./clock";
import { readPage } from "./page";
import { SessionPage } from "./session-page";
import { setUpThemeSwitch } from "./theme-switch";

noteTimeOfPage();
setUpThemeSwitch();
new SessionPage(readPage()).start();
