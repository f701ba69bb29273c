// What the page says, in each of its languages.

const WORDS = {
  en: {
    views: "Views", photos: "Photos", camera: "Camera", checkpoint: "Checkpoint",
    language: "Language", theme: "Colours", themeAuto: "As the device", themeLight: "Light", themeDark: "Dark",
    dropHere: "Drop photos here, paste them, or choose some.", choose: "Choose photos",
    showPeople: "Guess gender and age group, too",
    start: "Start the camera", stop: "Stop the camera", whichCamera: "Camera", cameraNumber: "Camera {number}",
    sound: "Sound", fullScreen: "Full screen", reset: "Count from zero",
    passes: "Passes", chartHint: "Passes in each of the last 15 minutes", nobody: "Nobody in sight",
    notStarted: "Start the camera to watch the door.",
    wear: "Mask worn properly", incorrect: "Mask not worn properly", not_wear: "No mask", checking: "Checking …",
    male: "male", female: "female", young: "under {low}", middle: "{low} to {last}", old: "{high} and over",
    person: "Person {number}", noFace: "No face found.", leftOut: "Faces that were left out: {count}",
    answering: "Photos to answer: {count} …", answered: "Photos answered: {count}",
    privacy: "Frames and photos stay in memory only: nothing is stored, nothing is sent elsewhere.",
    limits: "Gender and age group are guesses from looks. Do not decide about a person with them.",
    about: "Maskwise {version}", keyAsked: "This service asks for a key:", keySend: "Use it",
    noCamera: "The camera cannot be used: {why}", offline: "The connection was lost; trying again …",
    silent: "The service does not answer; trying again …", blind: "Not checking.",
    busy: "The service is busy; trying again …", failed: "The service cannot answer: {why}",
  },
  ko: {
    views: "화면", photos: "사진", camera: "카메라", checkpoint: "출입 확인",
    language: "언어", theme: "색상", themeAuto: "기기 설정", themeLight: "밝게", themeDark: "어둡게",
    dropHere: "사진을 여기에 끌어 놓거나, 붙여 넣거나, 선택하세요.", choose: "사진 선택",
    showPeople: "성별과 연령대도 추정",
    start: "카메라 시작", stop: "카메라 정지", whichCamera: "카메라", cameraNumber: "카메라 {number}",
    sound: "소리", fullScreen: "전체 화면", reset: "집계 초기화",
    passes: "통과 인원", chartHint: "최근 15분 동안 분당 통과 인원", nobody: "보이는 사람이 없습니다",
    notStarted: "출입구를 확인하려면 카메라를 시작하세요.",
    wear: "마스크 착용", incorrect: "마스크를 올바르게 써 주세요", not_wear: "마스크 미착용", checking: "확인 중 …",
    male: "남성", female: "여성", young: "{low}세 미만", middle: "{low}~{last}세", old: "{high}세 이상",
    person: "{number}번", noFace: "얼굴을 찾지 못했습니다.", leftOut: "얼굴 {count}개는 판정하지 않았습니다.",
    answering: "사진 {count}장 판정 중 …", answered: "사진 {count}장을 판정했습니다.",
    privacy: "영상과 사진은 메모리에만 머뭅니다. 저장하거나 다른 곳으로 보내지 않습니다.",
    limits: "성별과 연령대는 외모로 추정한 값입니다. 이것으로 사람에 대해 결정하지 마세요.",
    about: "Maskwise {version}", keyAsked: "이 서비스에는 키가 필요합니다:", keySend: "확인",
    noCamera: "카메라를 사용할 수 없습니다: {why}", offline: "연결이 끊어졌습니다. 다시 연결하는 중 …",
    silent: "서비스가 응답하지 않습니다. 다시 시도하는 중 …", blind: "확인하고 있지 않습니다.",
    busy: "서비스가 바쁩니다. 다시 시도하는 중 …", failed: "서비스가 응답할 수 없습니다: {why}",
  },
};

let language = "en";

export function say(name, values = {}) {
  return WORDS[language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

export function speak(wanted) {
  language = wanted in WORDS ? wanted : "en";
  document.documentElement.lang = language;
  for (const part of document.querySelectorAll("[data-text]")) part.textContent = say(part.dataset.text);
  for (const part of document.querySelectorAll("[data-label]")) part.setAttribute("aria-label", say(part.dataset.label));
}

export function preferred() {
  return navigator.language.startsWith("ko") ? "ko" : "en";
}

export function peopleWords(face, [low, high]) {
  const words = [];
  if (face.gender) words.push(say(face.gender));
  if (face.age_group) words.push(say(face.age_group, { low, last: high - 1, high }));
  return words.join(", ");
}
